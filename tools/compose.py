"""Writes into docker-compose.yml what follows from the services: `python -m tools.compose [--check]`.

The file is written by hand, but for what stands between `# made: NAME` and `# end`: that follows from the definitions
and the settings of the services, so that nobody lists them there. With --check nothing is written: exits 1 when the
file runs other services, or hands on other settings, than the code has.
"""

import importlib.util
import re
import sys
from collections.abc import Iterable
from textwrap import indent

from pydantic_settings import BaseSettings

from services.runtime.definition import Companion, Definition, chosen
from services.runtime.settings import Settings
from tools.generate import ROOT, keep

FILE = ROOT / "docker-compose.yml"
MADE = re.compile(r"^(?P<indent> *)# made: (?P<name>[a-z ]+)\n.*?^ *# end$", re.DOTALL | re.MULTILINE)
# What every container is given a value of, by hand, is not handed on a second time.
VALUED = re.compile(r"^  (COMMERCE_\w+): \$\{\1:-", re.MULTILINE)
HEALTHY = "{ condition: service_healthy }"
# Its service comes up without it, where it is not asked for.
HEALTHY_IF_THERE = "{ condition: service_healthy, required: false }"

SERVICE = """\
{code}:
  <<: *process
  command: [python, -m, {main}]
  environment:
    <<: *settings
    COMMERCE_LISTEN: 0.0.0.0:{port}
    COMMERCE_SETTINGS: /settings/{code}/settings.json
{handed_on}{networks}\
  depends_on:
    <<: *after-servers
{waits}\
  healthcheck: *service-health
  volumes:
    - {code}-settings:/settings/{code}:ro
"""
COMPANION = """\
{code}:
  <<: *process
{profiles}\
  command: [python, -m, {module}]
  environment:
    <<: *environment
    {listen}: 0.0.0.0:{port}
    COMMERCE_SETTINGS: /settings/{code}/settings.json
{handed_on}\
  depends_on:
    services-settings: {{ condition: service_completed_successfully }}
  healthcheck:
    <<: *health
    test: [CMD, python, -m, services.cluster.probe, "127.0.0.1:{port}", {ready_path}]
  volumes:
    - {code}-settings:/settings/{code}:ro
{data}"""


def settings(module: str) -> list[type[BaseSettings]]:
    """Return the classes of settings that stand in a package's own settings.py, which it need not have."""
    name = f"{module}.settings"
    if importlib.util.find_spec(name) is None:
        return []
    found = vars(importlib.import_module(name)).values()
    classes = [each for each in found if isinstance(each, type) and each.__module__ == name]
    return [each for each in classes if issubclass(each, BaseSettings)]


def optional(kind: type[BaseSettings]) -> list[str]:
    """Return the variables of settings that have a default; what has none is provisioned."""
    prefix = kind.model_config["env_prefix"]
    return [prefix + name.upper() for name, field in kind.model_fields.items() if not field.is_required()]


def handed_on(definition: Definition, valued: set[str]) -> list[str]:
    """Return what a service alone may be told from outside: but for what a companion has it told."""
    made = {name for companion in definition.companions for name in companion.owner_environment}
    names = [name for kind in settings(definition.main) for name in optional(kind)]
    return [name for name in names if name not in {*made, *valued, *optional(Settings)}]


def service(definition: Definition, valued: set[str]) -> str:
    """Write the container of a service."""
    waits = dict.fromkeys(definition.requires, HEALTHY)
    waits |= {each.code: HEALTHY_IF_THERE if each.asked_by else HEALTHY for each in definition.companions}
    return SERVICE.format(
        code=definition.code,
        main=definition.main,
        port=definition.port,
        handed_on=lines(f"    {name}:" for name in handed_on(definition, valued)),
        networks="  networks: [default, providers]\n" if definition.asks_providers else "",
        waits=lines(f"    {code}: {how}" for code, how in waits.items()),
    )


def companion(each: Companion) -> str:
    """Write the container of a companion."""
    (listen,) = [name for name in each.environment if name.endswith("_LISTEN")]
    names = [name for kind in settings(each.module) for name in optional(kind)]
    return COMPANION.format(
        code=each.code,
        profiles=f"  profiles: [{each.code}-development, {each.code}-yes]\n" if each.asked_by else "",
        module=each.module,
        listen=listen,
        port=each.port,
        handed_on=lines(f"    {name}:" for name in names),
        ready_path=each.ready_path,
        data=f"    - {each.code}:/var/lib/commerce/{each.code}\n" if keeps_data(each) else "",
    )


def keeps_data(each: Companion) -> bool:
    """Tell whether a companion has a directory of its own in the cluster's home."""
    return any("{home}/" in template for template in each.environment.values())


def lines(each: Iterable[str]) -> str:
    """Join lines, each with its end."""
    return "".join(f"{line}\n" for line in each)


def parts(valued: set[str]) -> dict[str, str]:
    """Return what is made, by name."""
    by_need = chosen()
    services = sorted(by_need, key=lambda definition: definition.port)
    companions = [companion for definition in services for companion in definition.companions]
    codes = [*(each.code for each in services), *(each.code for each in companions)]
    data = [each.code for each in companions if keeps_data(each)]
    return {
        "settings": lines(f"{name}:" for name in optional(Settings) if name not in valued),
        "folders": lines(f"- {code}-settings:/settings/{code}" for code in codes),
        "addresses": lines(
            f"COMMERCE_{each.code.upper()}_ADDRESS: {each.code}:{each.port}" for each in services
        ),
        "services": "\n".join(service(each, valued) for each in by_need),
        "companions": "\n".join(map(companion, companions)),
        "all ready": lines(f"{each.code}: {HEALTHY}" for each in by_need),
        "volumes": lines(f"{name}:" for name in (*data, *(f"{code}-settings" for code in codes))),
    }


def written(text: str) -> str:
    """Return the file as the services are."""
    made = parts(set(VALUED.findall(text)))

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        return indent(f"# made: {name}\n{made[name]}# end", found["indent"])

    return MADE.sub(part, text)


def main(check: bool) -> int:
    otherwise = "runs other services, or hands on other settings, than there are"
    return keep(FILE, written(FILE.read_text()), check, otherwise)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
