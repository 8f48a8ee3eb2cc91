#!/bin/sh
# A k3d cluster in Docker. `make run` needs neither.
set -eu
cd "$(dirname "$0")/.."
CLUSTER=${CLUSTER:-mcp-operator}
IMAGE=localhost/mcp-operator:dev

need() {
  for program in "$@"; do
    if ! command -v "$program" >/dev/null 2>&1; then
      echo "this target needs $program, which is not on the PATH; \`make run\` works without Docker" >&2
      exit 1
    fi
  done
}

need_docker() {
  need docker
  if ! docker info >/dev/null 2>&1; then
    echo "this target needs a running Docker engine; \`make run\` works without Docker" >&2
    exit 1
  fi
}

kube() {
  need kubectl
  kubectl --context "k3d-$CLUSTER" "$@"
}

case "${1:-}" in
create)
  need_docker
  need k3d
  k3d cluster create "$CLUSTER" --wait
  ;;
delete)
  need_docker
  need k3d
  k3d cluster delete "$CLUSTER"
  ;;
crds) kube apply -k manifests/base/crds ;;
redis)
  kube apply -f manifests/examples/valid/00-namespace.yaml
  kube apply -k manifests/overlays/k3d/shop
  ;;
examples)
  kube apply -f manifests/examples/valid/00-namespace.yaml
  kube apply -k manifests/overlays/k3d/shop
  kube apply -k manifests/overlays/k3d/backend
  kube apply -f manifests/examples/valid
  ;;
build)
  need_docker
  need k3d
  docker build --tag "$IMAGE" --build-arg "REVISION=$(git rev-parse HEAD)" .
  k3d image import --cluster "$CLUSTER" "$IMAGE"
  ;;
deploy)
  kube apply -k manifests/base/crds
  kube apply -k manifests/overlays/k3d
  kube -n mcp-system rollout status deployment/mcp-operator-webhook deployment/mcp-operator-controller
  ;;
*)
  echo "usage: $0 create|crds|redis|examples|build|deploy|delete" >&2
  exit 2
  ;;
esac
