"""The command line of the test bed: ``python -m scripts.localcluster up --node``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.localcluster import binaries, cluster, images

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Exit code 0 if it went well, 1 with a message if not."""
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except RuntimeError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted; nothing is left behind", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description="A real local Kubernetes without Docker.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = _command(commands, "up", _up, "bring a cluster up")
    up.add_argument("--node", action="store_true", help="with a node that runs pods (root on Linux)")
    up.add_argument("--kubernetes", default=binaries.DEFAULT_KUBERNETES, help="version of Kubernetes")
    _command(commands, "down", _down, "take a cluster down; nothing of it is left")
    _command(commands, "kubeconfig", _kubeconfig, "print the path of the kubeconfig")
    _command(commands, "status", _status, "say what runs and what died")
    load = _command(commands, "load-image", _load, "make the images of a docker archive known to the node")
    load.add_argument("archive", type=Path)
    build = _command(commands, "build", _build, "build the programs and images without starting anything")
    build.add_argument("--kubernetes", default=binaries.DEFAULT_KUBERNETES)
    build.add_argument("--images", action="store_true", help="the images of the operator and of Redis, too")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what)
    parser.add_argument("--name", default="dev", help="name of the cluster (default: dev)")
    parser.set_defaults(run=run)
    return parser


def _found(arguments: argparse.Namespace) -> cluster.Cluster:
    found = cluster.find(arguments.name)
    if found is None:
        raise RuntimeError(f'there is no cluster "{arguments.name}"; bring it up with: up --name {arguments.name}')
    return found


def _up(arguments: argparse.Namespace) -> int:
    found = cluster.up(arguments.name, node=arguments.node, kubernetes=arguments.kubernetes)
    print(f"export KUBECONFIG={found.kubeconfig}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    cluster.down(arguments.name)
    return 0


def _kubeconfig(arguments: argparse.Namespace) -> int:
    print(_found(arguments).kubeconfig)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    found = _found(arguments)
    dead = found.dead()
    for name, pid in found.pids().items():
        print(f"{name:24} {'dead' if name in dead else 'running'}  pid {pid}")
    for report in dead.values():
        print(f"\n{report}")
    return 1 if dead else 0


def _load(arguments: argparse.Namespace) -> int:
    _found(arguments).load_image(arguments.archive)
    return 0


def _build(arguments: argparse.Namespace) -> int:
    print(binaries.kubernetes(arguments.kubernetes))
    if arguments.images:
        print(images.operator(), images.redis(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
