"""Runs on the machine that is measured: how long a key takes from the keyboard to the screen, through a terminal there.

`python3 key_echo.py COUNT X Y WIDTH HEIGHT`: clicks into the window in that part of the screen, types, and watches the
part, which nothing else may change. Prints the seconds of each key as JSON. Standard library and X's own libraries.
"""

import ctypes
import ctypes.util
import json
import sys
import time

ALL_PLANES, Z_PIXMAP = 0xFFFFFFFF, 2
SETTLED_SECONDS = 0.2
"""So long must the picture stay the same before the next key."""
PATIENCE = 60.0


class Image(ctypes.Structure):
    """The beginning of XImage (X11/Xlib.h)."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("width", "height", "xoffset", "format")),
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("byte_order", "unit", "bit_order", "pad", "depth", "bytes_per_line")),
    )


class Screen:
    """A part of the X screen, and its keyboard."""

    def __init__(self, x: int, y: int, width: int, height: int) -> None:
        self._x11, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XDefaultRootWindow.restype = ctypes.c_ulong
        self._x11.XGetImage.restype = ctypes.POINTER(Image)
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(None))
        if not self._display:
            sys.exit("no X server")
        self._root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._display))
        self._part = x, y, width, height
        self._key = self._x11.XKeysymToKeycode(self._display, ctypes.c_ulong(ord("a")))

    def look(self) -> bytes:
        """The picture as it is now."""
        image = self._x11.XGetImage(self._display, self._root, *self._part, ctypes.c_ulong(ALL_PLANES), Z_PIXMAP)
        picture = ctypes.string_at(image.contents.data, image.contents.bytes_per_line * image.contents.height)
        self._x11.XFree(ctypes.c_void_p(image.contents.data))
        self._x11.XFree(image)
        return picture

    def click(self) -> None:
        """Give the focus to the window there: a window manager gives it to none that somebody else has opened."""
        x, y, width, height = self._part
        self._test.XTestFakeMotionEvent(self._display, -1, x + width // 2, y + height // 2, ctypes.c_ulong(0))
        for down in (1, 0):
            self._test.XTestFakeButtonEvent(self._display, 1, down, ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def press(self) -> None:
        """Press the key and let it go."""
        for down in (1, 0):
            self._test.XTestFakeKeyEvent(self._display, self._key, down, ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def settled(self) -> bytes:
        """The picture, once nothing is drawn any more."""
        picture, since = self.look(), time.monotonic()
        while time.monotonic() - since < SETTLED_SECONDS:
            time.sleep(SETTLED_SECONDS / 4)
            now = self.look()
            if now != picture:
                picture, since = now, time.monotonic()
        return picture


def main(argv: list[str]) -> None:
    """Type so many keys, one after the other."""
    count, *part = map(int, argv)
    screen = Screen(*part)
    screen.click()
    taken = []
    for _ in range(count):
        before = screen.settled()
        started = time.monotonic()
        screen.press()
        while screen.look() == before:
            if time.monotonic() - started > PATIENCE:
                sys.exit("the key does not appear")
        taken.append(time.monotonic() - started)
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1:])
