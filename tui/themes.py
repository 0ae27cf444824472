"""Themes: ours, in which amber says "look here" and nothing else, and Textual's own.

A light one has higher contrast, another has colours that everybody can tell apart.
"""

from __future__ import annotations

import difflib

from textual.theme import BUILTIN_THEMES, Theme

from farm.errors import UsageError

DEFAULT = "farm-dark"

# Okabe and Ito's palette (2008): distinct with any of the common kinds of colour blindness.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE, YELLOW = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
)

DARK = Theme(
    name=DEFAULT,
    primary="#3D8FD1",
    secondary="#2F6FA3",
    accent="#5CC8D7",
    success="#6CC47A",
    warning="#F0B040",
    error="#F0616D",
    foreground="#DDE3EA",
    background="#0E1116",
    surface="#12161C",
    panel="#1E252E",
    variables={
        "text-success": "#6CC47A",
        "text-warning": "#F0B040",
        "text-error": "#F0616D",
        "text-accent": "#5CC8D7",
        "footer-key-foreground": "#5CC8D7",
    },
)
LIGHT = Theme(
    name="farm-light",
    primary="#00558A",
    secondary="#00558A",
    accent="#00708A",
    success="#1B6B36",
    warning="#8A5A00",
    error="#B3261E",
    foreground="#1A1A1A",
    background="#FFFFFF",
    surface="#F6F6F6",
    panel="#E4E8EC",
    dark=False,
    variables={
        "text-success": "#1B6B36",
        "text-warning": "#9A5B00",
        "text-error": "#B3261E",
        "text-accent": "#00708A",
        "footer-key-foreground": "#00558A",
    },
)
COLOUR_BLIND = Theme(
    name="farm-colour-blind",
    primary=SKY,
    secondary=BLUE,
    accent=SKY,
    success=GREEN,
    warning=ORANGE,
    error=VERMILION,
    foreground="#E8E8E8",
    background="#101214",
    surface="#181B1E",
    panel="#262B30",
    variables={
        "text-success": GREEN,
        "text-warning": ORANGE,
        "text-error": VERMILION,
        "text-accent": SKY,
        "footer-key-foreground": YELLOW,
    },
)
OWN = (DARK, LIGHT, COLOUR_BLIND)


def theme_named(name: str) -> str:
    """The theme's name, if there is such a theme. Raises UsageError that names the nearest."""
    names = [*(theme.name for theme in OWN), *BUILTIN_THEMES]
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    raise UsageError(
        f"There is no theme {name!r}.",
        f"Did you mean {near[0]}?" if near else "",
        f"Use one of these: {', '.join(sorted(names))}",
    )
