"""A systemctl with its state in a file, for tests: what so8t asks of it, the answers in systemd's own form.

PATH=FOLDER:… with FOLDER/systemctl made by install_fake(FOLDER, UNITS)
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

STATE = "SO8T_FAKE_SYSTEMD"


def install_fake(folder: Path, name: str = "systemctl") -> None:
    """A program of that name in a folder."""
    program = folder / name
    program.write_text(f"#!{sys.executable} -I\n{Path(__file__).read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)


def main(arguments: list[str]) -> int:
    """`fail`: words on stderr for an action that fails. `becomes`: the states that a start leads to, one a question."""
    place = Path(os.environ[STATE])
    state: dict[str, Any] = json.loads(place.read_text())
    state["calls"].append(arguments)
    user = arguments[0] == "--user"
    action, names = arguments[int(user)], [a for a in arguments[int(user) + 1 :] if not a.startswith("--")]
    code = 0
    if action in state["fail"]:
        print(state["fail"][action], file=sys.stderr)
        code = 1
    elif action == "show":
        shown(state, names[0], Path(state["units"]))
    elif action in ("enable", "disable"):
        for name in names:
            if not (Path(state["units"]) / name).is_file():
                print(f"Failed to {action} unit: Unit file {name} does not exist.", file=sys.stderr)
                code = 1
            state["enabled"][name] = action == "enable"
            if "--now" in arguments and action == "disable":
                state["active"][name] = "inactive"
    elif action == "start":
        state["active"][names[0]] = state["becomes"].pop(0) if state["becomes"] else "active"
    elif action == "stop":
        state["active"][names[0]] = "inactive"
    elif action == "reset-failed" and state["active"].get(names[0], "inactive") == "inactive":
        print(f"Failed to reset failed state of unit {names[0]}: Unit not loaded.", file=sys.stderr)
        code = 1
    place.write_text(json.dumps(state))
    return code


def shown(state: dict[str, Any], name: str, units: Path) -> None:
    file = units / name
    if not file.is_file():
        print("LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nUnitFileState=\nResult=success")
        return
    active = state["active"].get(name, "inactive")
    if state["becomes"] and active == "activating":
        state["active"][name] = active = state["becomes"].pop(0)
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
    sub, active = ("auto-restart", "activating") if active == "auto-restart" else ("?", active)
    print(f"LoadState=loaded\nActiveState={active}\nSubState={sub}\nMainPID={4711 if active == 'active' else 0}")
    print(f"UnitFileState={'enabled' if state['enabled'].get(name) else 'disabled'}\nUser={settings.get('User', '')}")
    ended = active == "failed" or sub == "auto-restart"
    print(f"Result={'exit-code' if ended else 'success'}\nExecMainStatus={8 if ended else 0}")
    print(f"ExecStart={{ path=/x ; argv[]={settings['ExecStart']} ; ignore_errors=no ; start_time=[n/a] }}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
