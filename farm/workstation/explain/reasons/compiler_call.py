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
        "It only preprocesses (-E), which is always done here.",
        says=("preprocessing, building locally",),
    ),
    Reason(
        "dependencies-only",
        "It only lists dependencies (-M, -MM), which needs this machine's headers.",
        "Where the build allows it, use -MD or -MMD: they write the list while the file is compiled on a node.",
        says=(SAYS_LOCAL % r"-MM?",),
    ),
    Reason(
        "dependency-option",
        "icecc 1.4 does not know an option about dependencies: one with its value in the same word (-MFFILE), or -MJ.",
        "Write the value as a word of its own: -MF FILE (likewise -MT, -MQ). In place of -MJ, let the build system "
        "list the commands, as CMake does with CMAKE_EXPORT_COMPILE_COMMANDS.",
        says=(SAYS_LOCAL % r"-M.*",),
    ),
    Reason(
        "syntax-only",
        "It only checks the syntax (-fsyntax-only) and makes no object.",
        says=(SAYS_LOCAL % "-fsyntax-only",),
    ),
    Reason(
        "compiler-dump",
        "It writes the compiler's internals to files beside the object (-fdump…).",
        "Leave out -fdump… where it is not needed.",
        says=(SAYS_LOCAL % r"-fdump.*",),
    ),
    Reason(
        "time-report",
        "It measures the compiler itself (-ftime-report, -ftime-trace).",
        "Leave the option out of ordinary builds.",
        says=(SAYS_LOCAL % r"-ftime-(?:report|trace).*",),
    ),
    Reason(
        "combine",
        "It compiles several files into one object (-combine).",
        "Compile each file by a call of its own.",
        says=(SAYS_LOCAL % "-combine",),
    ),
    Reason(
        "compiler-path",
        "It names where the compiler finds its parts (-B), and nodes have them elsewhere.",
        "Leave out -B when compiling; linking may keep it.",
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
        "The assembler is to write a listing (-Wa,-a…=FILE), which would stay on the node.",
        "Leave out the listing where it is not needed.",
        says=(SAYS_LOCAL % r"-Wa,(?:.*,)?-a[a-z]*=.*",),
    ),
    Reason(
        "assembler-file-missing",
        "A file for the assembler (-Wa,FILE) is not there.",
        "Name it as seen from the folder in which the compiler is called.",
        says=("file for argument missing, building locally", SAYS_LOCAL % r"-Wa,.*"),
    ),
    Reason(
        "precompiled-header",
        "It makes a precompiled header, which only the compiler here can use.",
        says=(
            SAYS_LOCAL % "-Xclang -building-pch-with-obj",
            r"unknown extension (?:h|hh|hp|hpp|hxx|h\+\+|H|tcc)",
            r"unsupported -x option: .*-header; running locally",
        ),
    ),
    Reason(
        "missing-argument",
        "An optimisation option stands where a folder or file should (such as -I -O2).",
        "Look for an empty variable in the build's flags.",
        says=(SAYS_LOCAL % r".* -O.*",),
    ),
    Reason(
        "assembler",
        "It is assembler, not C or C++.",
        says=(r"source file .*\.[sS], building locally", r"unsupported -x option: assembler.*; running locally"),
    ),
    Reason(
        "source-language",
        "icecream distributes C, C++, Objective-C and Objective-C++ only.",
        says=(r"source file .*\.[^.]*, building locally", r"unsupported -x option: .*; running locally"),
    ),
    Reason(
        "coverage",
        "It is built for measuring coverage, for which the compiler writes a file beside the object.",
        "Leave out --coverage (-fprofile-arcs, -ftest-coverage) of builds that should be quick.",
        says=(EXTRA_FILES % "-fprofile-arcs|-ftest-coverage|--coverage",),
    ),
    Reason(
        "profile",
        "It makes or uses a profile of the program (-fprofile-generate, -fprofile-use), a file of this machine.",
        "Keep profiling out of everyday builds.",
        says=(EXTRA_FILES % "-fprofile-generate|-fprofile-use|-fbranch-probabilities",),
    ),
    Reason(
        "strip-flag",
        "icecc 1.4 takes -s for the beginning of -save-temps.",
        "Give -s only when linking.",
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
        "The compiler's intermediate files are to be kept (-save-temps).",
        "Leave out -save-temps.",
        says=(EXTRA_FILES % "--?s.*|--",),
    ),
    Reason(
        "repo-templates",
        "Templates are instantiated through a repository file (-frepo).",
        "Leave out -frepo; compilers after GCC 9 do not have it.",
        says=(EXTRA_FILES % "-frepo",),
    ),
    Reason(
        "charset-flag",
        "It converts character sets, for which nodes may lack the tables.",
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
        "The compiler's plugin is not there.",
        "Check the path in -fplugin=; what is there is sent to the nodes.",
        says=(SAYS_MISSING % "-fplugin", r"plugin for argument .* missing, building locally"),
    ),
    Reason(
        "extra-file-missing",
        "A file that the compilation needs besides the source is not there.",
        "Check the path in the option, or in ICECC_EXTRAFILES.",
        says=(
            SAYS_MISSING % "-fsanitize-blacklist|-fprofile-sample-use|-fprofile-instr-use",
            r"File in ICECC_EXTRAFILES not found: .*",
        ),
    ),
    Reason(
        "multiple-arch",
        "It compiles for several architectures at once (-arch).",
        "Compile for each by a call of its own.",
        says=("multiple -arch options, building locally",),
    ),
    Reason(
        DEPENDENCIES_LOST,
        "clang does not write the file of dependencies that -Wp,-MD or -Wp,-MMD names: icecc 1.4 has it write another "
        "one, named like the object.",
        "Write -MMD -MF FILE in place of -Wp,-MMD,FILE (likewise -MD).",
    ),
    Reason(
        SIDE_FILE_LOST,
        "The compiler writes a file besides the object (-fstack-usage, -fcallgraph-info, -fopt-info…=FILE, "
        "-fsave-optimization-record), which icecc 1.4 leaves on the node.",
        "To have the file, compile here: ICECC=disable COMMAND. Else leave the option out.",
    ),
    Reason(
        LINKING,
        "It links, which is always done here.",
        says=("neither -c nor -S argument, building locally",),
    ),
    Reason(
        NO_DASH_C,
        "It compiles and links in one call (there is no -c), which is done here as a whole.",
        "Compile with -c, one file a call, and link afterwards.",
    ),
    Reason(
        OVERLOOKED,
        "icecc 1.4 takes the word after -Wp,-MT… (also -Wp,-MQ…, -Wp,-MF…) for its value, and so overlooks it: "
        "-c, -S or the source. Where no word follows, icecc crashes.",
        "Write the option without -Wp: -MT NAME, -MF FILE.",
    ),
    Reason(
        COMPILER_QUERY,
        "It asks the compiler about itself (such as --version) and compiles nothing.",
    ),
    Reason(
        "configure-test",
        "It is a test of configure or CMake (conftest.c, CheckIncludeFile.c…), which icecc keeps here.",
        says=(r"configure tests are run locally: .*",),
    ),
    Reason(
        "several-inputs",
        "There seem to be two input files in one call.",
        "Compile one file a call; look for an option whose value stands apart from it.",
        says=(r"found another non option on command line\. Two input files\? .*",),
    ),
    Reason(
        "unknown-extension",
        "The source's name does not end as C, C++, Objective-C or Objective-C++ does.",
        "Name it .c, .cc, .cpp, .cxx, .m or .mm.",
        says=(r"unknown extension .*",),
    ),
    Reason(
        NO_OUTPUT,
        "The output is no regular file (such as -o /dev/null), or no name for it can be found.",
        "Name a file with -o. Tests that configure scripts make may stay as they are.",
        says=("output file empty or not a regular file, building locally",),
    ),
    Reason(
        "target-unknown",
        "clang did not say for which machine it compiles (-dumpmachine).",
        "See that the compiler runs: clang -dumpmachine",
        says=("failed to read default clang host platform, building locally",),
    ),
    Reason(
        "march-native",
        "The compiler did not say what -march=native (or -mcpu, -mtune) stands for on this machine.",
        "Name a processor that all machines have (such as -march=x86-64-v2), which also makes all objects the same.",
        says=("failed to read -march/cpu/tune=native flags, building locally",),
    ),
    Reason(
        "icerun",
        "It was started by icerun, which only gives it a slot of this machine.",
        says=(r"icerun, running locally\.",),
    ),
    Reason(
        "unsupported-compiler",
        "icecc knows compilers by their names: cc, c++, and those with gcc, g++ or clang in them.",
        "Call the compiler by such a name; for another that works alike, make a link named so.",
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
