"""Windows of an X11 server: which are shown, what they are called, which is in front.

Never fails because a window is gone or says nonsense: windows come and go while one asks.
"""

from __future__ import annotations

import contextlib
from typing import Any

from Xlib import X, Xatom, error

from agent.sources.desktop import ShownWindow, Window
from schemas.rectangle import Rectangle

_MAX_NAME = 1024
_CLIENT_DEPTH = 3


def front_window(connection: Any, root: Any) -> Window | None:
    """The active window; None when the desktop itself is in front."""
    active = _property(connection, root, "_NET_ACTIVE_WINDOW")
    if active is not None and len(active):
        window = connection.create_resource_object("window", active[0]) if active[0] else None
    else:
        window = _focused(connection, root)
    if window is None:
        return None
    client = _client_of(connection, window) or window
    named = _named(connection, client)
    return named if named.application or named.title else None


def shown_windows(connection: Any, root: Any) -> list[ShownWindow]:
    """Mapped top-level windows, the lowest first."""
    depth = root.get_geometry().depth
    shown = []
    for window in root.query_tree().children:
        with contextlib.suppress(error.XError):
            attributes = window.get_attributes()
            if attributes.map_state == X.IsViewable and attributes.win_class == X.InputOutput:
                shown.append(_shown(connection, window, attributes, depth))
    return shown


def _shown(connection: Any, window: Any, attributes: Any, root_depth: int) -> ShownWindow:
    place = window.get_geometry()
    border = 2 * place.border_width
    area = Rectangle(place.x, place.y, place.width + border, place.height + border)
    client = _client_of(connection, window) or window
    popup = bool(attributes.override_redirect) or _property(connection, client, "WM_TRANSIENT_FOR") is not None
    solid = place.depth == root_depth and not _shaped(connection, window) and not popup
    opaque = solid and _property(connection, client, "_NET_WM_WINDOW_OPACITY") is None
    return ShownWindow(_named(connection, client), area, opaque, popup)


def _focused(connection: Any, root: Any) -> Any:
    """Where the keys go when no window manager says: the focus, or what is below the pointer."""
    focus = connection.get_input_focus().focus
    if focus in (X.PointerRoot, X.NONE) or focus == root:
        below = root.query_pointer().child
        return below if below not in (0, X.NONE) else None
    with contextlib.suppress(error.XError):
        while not _has_name(connection, focus):
            parent = focus.query_tree().parent
            if parent in (0, X.NONE) or parent == root:
                break
            focus = parent
    return focus


def _client_of(connection: Any, window: Any) -> Any:
    """The program's own window within a window manager's frame: the first below that has a name."""
    level = [window]
    for _ in range(_CLIENT_DEPTH):
        for candidate in level:
            if _has_name(connection, candidate):
                return candidate
        below: list[Any] = []
        for candidate in level:
            with contextlib.suppress(error.XError):
                below += candidate.query_tree().children
        level = below
    return None


def _has_name(connection: Any, window: Any) -> bool:
    return _property(connection, window, "WM_CLASS") is not None or (
        _property(connection, window, "WM_STATE") is not None
    )


def _named(connection: Any, window: Any) -> Window:
    classes = _text(connection, window, "WM_CLASS").split("\0")
    application = (classes[1] if len(classes) > 1 and classes[1] else classes[0])[:_MAX_NAME]
    title = _text(connection, window, "_NET_WM_NAME") or _text(connection, window, "WM_NAME")
    pid = _property(connection, window, "_NET_WM_PID")
    return Window(application, title.rstrip("\0")[:_MAX_NAME], _pid(pid))


def _pid(value: Any) -> int:
    with contextlib.suppress(TypeError, IndexError, ValueError):
        return int(value[0]) if 0 < int(value[0]) < 1 << 31 else 0
    return 0


def _text(connection: Any, window: Any, name: str) -> str:
    """A text property: UTF-8 where the window says so, and otherwise Latin-1 as X11 had it first."""
    value = _property(connection, window, name)
    if value is None:
        return ""
    data = value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _property(connection: Any, window: Any, name: str) -> Any:
    with contextlib.suppress(error.XError, AttributeError):
        answer = window.get_property(connection.get_atom(name), X.AnyPropertyType, 0, _MAX_NAME)
        if answer is not None and answer.property_type != Xatom.ATOM:
            return answer.value
    return None


def _shaped(connection: Any, window: Any) -> bool:
    """Whether it is not a plain rectangle, so that what is below shows beside it."""
    if not connection.has_extension("SHAPE"):
        return False
    with contextlib.suppress(error.XError, AttributeError):
        return bool(window.shape_query_extents().bounding_shaped)
    return True
