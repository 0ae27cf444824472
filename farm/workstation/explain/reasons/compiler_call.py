"""Reasons that lie in the command: icecc's client/arg.cpp decides by them before it asks anyone."""

from __future__ import annotations

from farm.workstation.explain.call_words import parse
from farm.workstation.explain.reasons.record import Reason

LINKING = "linking"
NO_DASH_C = "no-dash-c"
COMPILER_QUERY = "compiler-query"
OVERLOOKED = "word-overlooked"
NO_OUTPUT = "output-not-a-file"
DEPENDENCIES_LOST = "dependency-file-lost"
SIDE_FILE_LOST = "side-file-lost"
EXTRA_FILES = r"compiler will emit additional local files \(argument (?:%s)\); building locally"
SAYS_LOCAL = r"argument (?:%s), building locally"
SAYS_MISSING = r"file for argument (?:%s)=.* missing, building locally"

COMMAND = (
    Reason(
        "preprocess-only",
        "Preprocessing (-E) is always done here.",
        says=("preprocessing, building locally",),
    ),
    Reason(
        "dependencies-only",
        "Listing dependencies (-M, -MM) needs this machine's headers.",
        "If the build allows it, use -MD or -MMD, which write the list while the file is compiled on a node.",
        says=(SAYS_LOCAL % r"-MM?",),
    ),
    Reason(
        "dependency-option",
        "icecc 1.4 does not support a dependency option with its value in the same word (-MFFILE), nor -MJ.",
        "Write the value as a separate word: -MF FILE (likewise -MT, -MQ). Instead of -MJ, let the build system list "
        "the commands, as CMake does with CMAKE_EXPORT_COMPILE_COMMANDS.",
        says=(SAYS_LOCAL % r"-M.*",),
    ),
    Reason(
        "syntax-only",
        "The call only checks the syntax (-fsyntax-only) and makes no object.",
        says=(SAYS_LOCAL % "-fsyntax-only",),
    ),
    Reason(
        "compiler-dump",
        "The compiler dumps internal data to files beside the object (-fdump…).",
        "Leave out -fdump… if you do not need it.",
        says=(SAYS_LOCAL % r"-fdump.*",),
    ),
    Reason(
        "time-report",
        "The call measures the compiler itself (-ftime-report, -ftime-trace).",
        "Leave the option out in ordinary builds.",
        says=(SAYS_LOCAL % r"-ftime-(?:report|trace).*",),
    ),
    Reason(
        "combine",
        "The call compiles several files into one object (-combine).",
        "Compile each file with a call of its own.",
        says=(SAYS_LOCAL % "-combine",),
    ),
    Reason(
        "compiler-path",
        "The call names the folder of the compiler's parts (-B), which is different on nodes.",
        "Leave out -B when compiling; it can stay when linking.",
        says=(SAYS_LOCAL % r"-B.*",),
    ),
    Reason(
        "response-file",
        "The assembler's options are in a file (-Wa,@FILE), which icecc does not read.",
        "Write these options out. Response files for the compiler itself (@FILE) do no harm.",
        says=(SAYS_LOCAL % r"-Wa,(?:.*,)?@.*",),
    ),
    Reason(
        "assembler-listing",
        "The assembler writes a listing (-Wa,-a…=FILE), which would stay on the node.",
        "Leave out the listing if you do not need it.",
        says=(SAYS_LOCAL % r"-Wa,(?:.*,)?-a[a-z]*=.*",),
    ),
    Reason(
        "assembler-file-missing",
        "A file for the assembler (-Wa,FILE) does not exist.",
        "Check the path; it is relative to the folder in which the compiler is called.",
        says=("file for argument missing, building locally", SAYS_LOCAL % r"-Wa,.*"),
    ),
    Reason(
        "precompiled-header",
        "Precompiled headers are made here, because only this machine's compiler can use them.",
        says=(
            SAYS_LOCAL % "-Xclang -building-pch-with-obj",
            r"unknown extension (?:h|hh|hp|hpp|hxx|h\+\+|H|tcc)",
            r"unsupported -x option: .*-header; running locally",
        ),
    ),
    Reason(
        "missing-argument",
        "An optimisation option is in the place of a folder or file (such as -I -O2).",
        "Look for an empty variable in the build's flags.",
        says=(SAYS_LOCAL % r".* -O.*",),
    ),
    Reason(
        "assembler",
        "The source is assembler, not C or C++.",
        says=(r"source file .*\.[sS], building locally", r"unsupported -x option: assembler.*; running locally"),
    ),
    Reason(
        "source-language",
        "icecream distributes only C, C++, Objective-C and Objective-C++.",
        says=(r"source file .*\.[^.]*, building locally", r"unsupported -x option: .*; running locally"),
    ),
    Reason(
        "coverage",
        "For measuring coverage, the compiler writes a file beside the object.",
        "Leave out --coverage (-fprofile-arcs, -ftest-coverage) in builds that should be quick.",
        says=(EXTRA_FILES % "-fprofile-arcs|-ftest-coverage|--coverage",),
    ),
    Reason(
        "profile",
        "The call makes or uses a profile of the program (-fprofile-generate, -fprofile-use), which is a file on "
        "this machine.",
        "Leave out profiling in ordinary builds.",
        says=(EXTRA_FILES % "-fprofile-generate|-fprofile-use|-fbranch-probabilities",),
    ),
    Reason(
        "strip-flag",
        "icecc 1.4 mistakes -s for -save-temps.",
        "Use -s only when linking.",
        says=(EXTRA_FILES % "-s",),
    ),
    Reason(
        "stdin",
        "The source comes from standard input.",
        "Compile from a file.",
        says=(EXTRA_FILES % "-", "stdin/stdout argument, building locally"),
    ),
    Reason(
        "save-temps",
        "The compiler keeps its intermediate files here (-save-temps).",
        "Leave out -save-temps.",
        says=(EXTRA_FILES % "--?s.*|--",),
    ),
    Reason(
        "repo-templates",
        "Templates are instantiated through a repository file (-frepo).",
        "Leave out -frepo, which compilers after GCC 9 do not have.",
        says=(EXTRA_FILES % "-frepo",),
    ),
    Reason(
        "charset-flag",
        "The call converts character sets, for which nodes may lack the tables.",
        "Keep sources in UTF-8 and leave the option out.",
        says=(r"-f\*-charset assumes charset conversion in the build environment; must be local",),
    ),
    Reason(
        "output-to-stdout",
        "The output goes to standard output (-o -).",
        "Write to a file.",
        says=(r"output to stdout\?  running locally",),
    ),
    Reason(
        "plugin-missing",
        "The compiler plugin does not exist.",
        "Check the path in -fplugin=; an existing plugin is sent to the nodes.",
        says=(SAYS_MISSING % "-fplugin", r"plugin for argument .* missing, building locally"),
    ),
    Reason(
        "extra-file-missing",
        "An additional file that the compilation needs does not exist.",
        "Check the path in the option, or in ICECC_EXTRAFILES.",
        says=(
            SAYS_MISSING % "-fsanitize-blacklist|-fprofile-sample-use|-fprofile-instr-use",
            r"File in ICECC_EXTRAFILES not found: .*",
        ),
    ),
    Reason(
        "multiple-arch",
        "The call compiles for several architectures at once (-arch).",
        "Compile for each with a call of its own.",
        says=("multiple -arch options, building locally",),
    ),
    Reason(
        DEPENDENCIES_LOST,
        "With -Wp,-MD or -Wp,-MMD, icecc 1.4 makes clang write the dependencies to another file, named like the "
        "object.",
        "Write -MMD -MF FILE instead of -Wp,-MMD,FILE (likewise -MD).",
    ),
    Reason(
        SIDE_FILE_LOST,
        "The compiler writes an additional file (-fstack-usage, -fcallgraph-info, -fopt-info…=FILE, "
        "-fsave-optimization-record), which icecc 1.4 leaves on the node.",
        "To get the file, compile here: ICECC=disable COMMAND. Otherwise leave the option out.",
    ),
    Reason(
        LINKING,
        "Linking is always done here.",
        says=("neither -c nor -S argument, building locally",),
    ),
    Reason(
        NO_DASH_C,
        "A call that compiles and links (without -c) is done here as a whole.",
        "Compile with -c, one file per call, and link afterwards.",
    ),
    Reason(
        OVERLOOKED,
        "icecc 1.4 takes the word after -Wp,-MT… (also -Wp,-MQ…, -Wp,-MF…) for its value, and so misses it: -c, -S "
        "or the source. If no word follows, icecc crashes.",
        "Write the option without -Wp: -MT NAME, -MF FILE.",
    ),
    Reason(
        COMPILER_QUERY,
        "The call only queries the compiler (such as --version).",
    ),
    Reason(
        "configure-test",
        "icecc does tests of configure and CMake (conftest.c, CheckIncludeFile.c…) here.",
        says=(r"configure tests are run locally: .*",),
    ),
    Reason(
        "several-inputs",
        "The call seems to have two input files.",
        "Compile one file per call; look for an option that is separated from its value.",
        says=(r"found another non option on command line\. Two input files\? .*",),
    ),
    Reason(
        "unknown-extension",
        "The source's name does not end like C, C++, Objective-C or Objective-C++.",
        "Name it .c, .cc, .cpp, .cxx, .m or .mm.",
        says=(r"unknown extension .*",),
    ),
    Reason(
        NO_OUTPUT,
        "The output is not a regular file (such as -o /dev/null), or has no name.",
        "Name a file with -o. Tests by configure scripts are no problem.",
        says=("output file empty or not a regular file, building locally",),
    ),
    Reason(
        "target-unknown",
        "clang did not report its target (-dumpmachine).",
        "Check that the compiler runs: clang -dumpmachine",
        says=("failed to read default clang host platform, building locally",),
    ),
    Reason(
        "march-native",
        "The compiler did not report what -march=native (or -mcpu, -mtune) means on this machine.",
        "Name a processor type that all machines have (such as -march=x86-64-v2).",
        says=("failed to read -march/cpu/tune=native flags, building locally",),
    ),
    Reason(
        "icerun",
        "icerun runs commands on this machine; it only waits for a free slot here.",
        says=(r"icerun, running locally\.",),
    ),
    Reason(
        "unsupported-compiler",
        "icecc recognises compilers by name: cc, c++, and names with gcc, g++ or clang in them.",
        "Call the compiler by such a name, or make a link to it with such a name.",
        says=(r"custom command, running locally\.",),
    ),
)
"""In the order in which they are tried on a line."""


def without_dash_c(command: str) -> str:
    """What a call is for in which icecc found neither -c nor -S: the code of one of four reasons."""
    words = parse(command)
    if words.compiles_only:
        return OVERLOOKED
    if words.sources:
        return NO_DASH_C
    asks = ("--version", "--help", "-v", "-dump", "-print", "-V", "-qversion", "--target-help", "-###")
    if any(option.startswith(asks) for option in words.options) and not words.inputs:
        return COMPILER_QUERY
    return LINKING
