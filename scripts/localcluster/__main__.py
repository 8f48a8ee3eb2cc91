"""The command line of the local cluster: ``python -m scripts.localcluster up --node``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.localcluster import binaries, cluster, images

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Run a subcommand. Returns 0, or 1 after an error."""
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except RuntimeError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted; everything was removed", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description="Run a local Kubernetes cluster without Docker.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = _command(commands, "up", _up, "start a cluster")
    up.add_argument("--node", action="store_true", help="with a node that runs pods (needs root on Linux)")
    up.add_argument("--kubernetes", default=binaries.DEFAULT_KUBERNETES, help="version of Kubernetes")
    _command(commands, "down", _down, "stop a cluster and remove everything that it created")
    _command(commands, "kubeconfig", _kubeconfig, "print the path of the kubeconfig")
    _command(commands, "status", _status, "show which components run and which have died")
    load = _command(commands, "load-image", _load, "load the images of a Docker archive into the node")
    load.add_argument("archive", type=Path)
    build = _command(commands, "build", _build, "build the programs and images without starting a cluster")
    build.add_argument("--kubernetes", default=binaries.DEFAULT_KUBERNETES)
    build.add_argument("--images", action="store_true", help="also build the images of the operator and of Redis")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what)
    parser.add_argument("--name", default="dev", help="name of the cluster (default: dev)")
    parser.set_defaults(run=run)
    return parser


def _find(arguments: argparse.Namespace) -> cluster.Cluster:
    found = cluster.find(arguments.name)
    if found is None:
        raise RuntimeError(f'cluster "{arguments.name}" does not exist; start it with: up --name {arguments.name}')
    return found


def _up(arguments: argparse.Namespace) -> int:
    found = cluster.up(arguments.name, node=arguments.node, kubernetes=arguments.kubernetes)
    print(f"export KUBECONFIG={found.kubeconfig}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    cluster.down(arguments.name)
    return 0


def _kubeconfig(arguments: argparse.Namespace) -> int:
    print(_find(arguments).kubeconfig)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    found = _find(arguments)
    dead = found.dead()
    for name, pid in found.pids().items():
        print(f"{name:24} {'dead' if name in dead else 'running'}  pid {pid}")
    for report in dead.values():
        print(f"\n{report}")
    return 1 if dead else 0


def _load(arguments: argparse.Namespace) -> int:
    _find(arguments).load_image(arguments.archive)
    return 0


def _build(arguments: argparse.Namespace) -> int:
    print(binaries.kubernetes(arguments.kubernetes))
    if arguments.images:
        print(images.operator(), images.redis(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
