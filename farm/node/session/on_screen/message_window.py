"""A window with a message, above whatever else is on an X display; it runs as nobody, and stays until it is closed.

The toolkit is the greeter's, called without a binding: that would be larger than all else that is needed here. It is
not root's to run, as the display's other programs, which belong to the user who is logged in, can tell it what to load.
"""

from __future__ import annotations

import ctypes
import os
import sys

from farm.node.files import read

SHOWN = "shown"
"""Printed when the window is on the screen."""
STAYS_SECONDS = 8 * 3600
RAISE_MILLISECONDS = 1000
COLUMNS = 60
TITLE_LENGTH = 80
TOP = 48
"""Pixels from the upper edge of the screen."""
_POPUP, _NOTIFICATION, _VERTICAL, _SPACE, _END = 1, 11, 1, 12, 2
"""GTK_WINDOW_POPUP (no window manager has a say in it), GDK_WINDOW_TYPE_HINT_NOTIFICATION (the greeter gives any other
new window the keyboard, and Enter would close it), GTK_ORIENTATION_VERTICAL, pixels, GTK_ALIGN_END."""
_CALLED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def main(heading: str, newest: str) -> int:
    """Show standard input below a heading. ``newest``: the file with the pid of the window that lies above others."""
    text = sys.stdin.read()
    gtk = _library("libgtk-3.so.0")
    if not gtk.gtk_init_check(None, None):
        return 1
    window = ctypes.c_void_p(gtk.gtk_window_new(_POPUP))
    close = _fill(gtk, window, heading, text)
    leave = _CALLED(lambda _: gtk.gtk_main_quit() or 0)
    stay_above = _CALLED(lambda _: _raise(gtk, window, newest))
    gtk.g_signal_connect_data(close, b"clicked", leave, None, None, 0)
    gtk.gtk_widget_show_all(ctypes.c_void_p(gtk.gtk_bin_get_child(window)))
    _place(gtk, window)
    gtk.gtk_widget_show_now(window)
    sys.stdout.write(f"{SHOWN}\n")
    sys.stdout.flush()
    gtk.g_timeout_add(RAISE_MILLISECONDS, stay_above, None)
    gtk.g_timeout_add(STAYS_SECONDS * 1000, leave, None)
    gtk.gtk_main()
    return 0


def _library(name: str) -> ctypes.CDLL:
    """GTK, with GLib's functions, which it brings; what returns a pointer says so."""
    gtk = ctypes.CDLL(name)
    for function in (
        *("gtk_window_new", "gtk_box_new", "gtk_label_new", "gtk_button_new_with_label", "gtk_frame_new"),
        *("gtk_bin_get_child", "gtk_widget_get_window"),
        *("gdk_display_get_default", "gdk_display_get_primary_monitor", "gdk_display_get_monitor"),
    ):
        getattr(gtk, function).restype = ctypes.c_void_p
    return gtk


def _fill(gtk: ctypes.CDLL, window: ctypes.c_void_p, heading: str, text: str) -> ctypes.c_void_p:
    """Put heading, text and a button into the window; returns the button."""
    frame, box = ctypes.c_void_p(gtk.gtk_frame_new(None)), ctypes.c_void_p(gtk.gtk_box_new(_VERTICAL, _SPACE))
    button = ctypes.c_void_p(gtk.gtk_button_new_with_label(b"Close"))
    gtk.gtk_container_set_border_width(box, 2 * _SPACE)
    for line in (heading, text):
        label = ctypes.c_void_p(gtk.gtk_label_new(line.encode()))
        gtk.gtk_label_set_line_wrap(label, 1)
        gtk.gtk_label_set_width_chars(label, min(COLUMNS, len(line)))  # its height is then that of so few lines
        gtk.gtk_label_set_max_width_chars(label, COLUMNS)
        gtk.gtk_label_set_xalign(label, ctypes.c_float(0))
        gtk.gtk_container_add(box, label)
    gtk.gtk_widget_set_halign(button, _END)
    gtk.gtk_container_add(box, button)
    gtk.gtk_container_add(frame, box)
    gtk.gtk_container_add(window, frame)
    gtk.gtk_window_set_type_hint(window, _NOTIFICATION)
    gtk.gtk_window_set_title(window, text[:TITLE_LENGTH].encode())
    return button


def _place(gtk: ctypes.CDLL, window: ctypes.c_void_p) -> None:
    """Move the window to the middle of the first monitor's upper edge."""
    display = ctypes.c_void_p(gtk.gdk_display_get_default())
    monitor = gtk.gdk_display_get_primary_monitor(display) or gtk.gdk_display_get_monitor(display, 0)
    area, size = (ctypes.c_int * 4)(), (ctypes.c_int * 2)()
    gtk.gdk_monitor_get_geometry(ctypes.c_void_p(monitor), area)
    gtk.gtk_window_get_size(window, size, ctypes.byref(size, ctypes.sizeof(ctypes.c_int)))
    left, top, width, _ = area
    gtk.gtk_window_move(window, left + max(0, width - size[0]) // 2, top + TOP)


def _raise(gtk: ctypes.CDLL, window: ctypes.c_void_p, newest: str) -> int:
    """Lift the window above those that came since, unless a later message is there; returns that it goes on."""
    pid = read(newest).strip()
    if pid == str(os.getpid()) or not pid.isdigit() or not os.path.exists(f"/proc/{pid}"):
        gtk.gdk_window_raise(ctypes.c_void_p(gtk.gtk_widget_get_window(window)))
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
