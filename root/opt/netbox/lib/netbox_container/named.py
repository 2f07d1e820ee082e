"""Every setting of NetBox from a variable of its name: NETBOX__MAX_PAGE_SIZE=500, NETBOX__EMAIL__SERVER=mail.

NetBox's own source says which settings there are, and by their defaults of
which kind. What a variable holds is read as JSON or Python, as text otherwise,
and never shown.
"""

import ast
import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netbox_container import environment

PREFIX = 'NETBOX__'
FREE = ('SOCIAL_AUTH_',)  # NetBox hands on whatever begins so
TEXTS = {'KEY', 'PASSWORD', 'PEPPERS', 'SECRET', 'USERNAME'}  # what is called so may look like a number
KINDS = {
    bool: environment.BOOLEAN.says,
    int: 'a number',
    list: environment.STRINGS.says,
    dict: 'a mapping, as JSON or Python: {"key": "value"}',
}


@dataclass
class Setting:
    kind: type | None = None  # None: anything
    keys: dict[str, type | None] = field(default_factory=dict)  # those it is asked for, with their kinds


def known(package: Path | None = None) -> dict[str, Setting]:
    """The settings of the NetBox that is installed, by name; none where there is no NetBox."""
    if not package:
        if not (spec := importlib.util.find_spec('netbox')):
            return {}
        package = Path(spec.submodule_search_locations[0])
    found: dict[str, Setting] = {}
    asked: list[tuple[str, str, type | None]] = []
    for file in ('settings.py', 'config/parameters.py'):
        for node in ast.walk(ast.parse((package / file).read_text())):
            match node:
                case ast.Call(ast.Name('getattr' | 'hasattr'), [ast.Name('configuration'), ast.Constant(str(name)), *default]):
                    setting = found.setdefault(name, Setting())
                    setting.kind = setting.kind or kind(default[0] if default else None)
                case ast.Call(ast.Name('ConfigParam'), _, keywords):
                    given = {keyword.arg: keyword.value for keyword in keywords}
                    found[given['name'].value] = Setting(kind(given.get('default')))
                case ast.Call(ast.Attribute(ast.Name(name), 'get'), [ast.Constant(str(key)), *default]):
                    asked.append((name, key, kind(default[0] if default else None)))
    for name, key, of in asked:
        if name in found:
            found[name].keys[key] = of
    return found


def kind(default: ast.expr | None) -> type | None:
    """The kind of value that stands in a source as a default."""
    match default:
        case ast.Constant(None) | None:
            return None
        case ast.Constant(value):
            return type(value)
        case ast.List() | ast.Tuple():
            return list
        case ast.Dict():
            return dict
        case ast.Call(ast.Name('getattr'), [_, _, inner]):
            return kind(inner)
        case _:
            return str  # what is computed there are paths and host names


def apply(environ: Mapping[str, str], settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings with those of the environment, and one line for every mistake."""
    result, mistakes = dict(settings), []
    variables = sorted(name for name, raw in environ.items() if name.startswith(PREFIX) and raw)
    settings_known = known() if variables else {}
    for variable in variables:  # a whole setting comes before its parts
        try:
            _set(result, variable, _raw(environ, variable), settings_known)
        except ValueError as error:
            mistakes.append(f'{variable} {error}')
    return result, mistakes


def _raw(environ: Mapping[str, str], variable: str) -> str:
    raw = environ[variable]
    try:
        raw.encode()
    except UnicodeError:
        raise ValueError('must be text in UTF-8') from None
    if environ.get('FILE__' + variable) and raw.endswith('\n'):
        raw = raw[:-1].removesuffix('\r')
    return raw


def _set(settings: dict[str, Any], variable: str, raw: str, settings_known: Mapping[str, Setting]) -> None:
    name, *path = variable.removeprefix(PREFIX).split('__')
    if not name.startswith(FREE) and name not in settings_known or '' in path:
        raise ValueError(f'is no setting of this NetBox{_meant(name, settings_known, PREFIX)}')
    setting = settings_known.get(name) or Setting()
    if not path:
        of = setting.kind or next((kind for kind in (dict, list, str) if isinstance(settings.get(name), kind)), None)
        settings[name] = _value(raw, name, None if name == 'REMOTE_AUTH_BACKEND' else of)  # one, or a list
        return
    if setting.kind not in (dict, None) and not isinstance(settings.get(name), dict):
        raise ValueError(f'names a part of {name}, which has none')
    if name == 'EMAIL' and path[0] not in setting.keys:
        raise ValueError(f'is no setting of this NetBox{_meant(path[0], setting.keys, f"{PREFIX}{name}__")}')
    place: Any = settings
    *above, last = (int(key) if key.isdecimal() else key for key in (name, *path))
    for key in above:
        part = place.get(key) or {}
        if not isinstance(part, dict):
            raise ValueError(f'names a part of {key}, which has none')
        place[key] = place = dict(part)
    place[last] = _value(raw, variable, setting.keys.get(path[0]) if len(path) == 1 else None)


def _value(raw: str, name: str, of: type | None) -> Any:
    if of is str or of is None and TEXTS & set(name.upper().split('_')):
        return raw
    if of is bool:
        try:
            return environment.BOOLEAN.parse(raw)
        except ValueError:
            raise ValueError(f'must be {KINDS[bool]}') from None
    try:
        value = environment.literal(raw)
    except ValueError:
        value = raw
    kinds = {list: (list, tuple), int: (int, float), dict: (dict,)}.get(of)
    if kinds and (not isinstance(value, kinds) or of is int and isinstance(value, bool)):
        raise ValueError(f'must be {KINDS[of]}')
    return value


def _meant(name: str, names: Mapping[str, Any], prefix: str) -> str:
    close = difflib.get_close_matches(name.upper(), names, 1, 0.75)
    return f': did you mean {prefix}{close[0]}?' if close else ''
