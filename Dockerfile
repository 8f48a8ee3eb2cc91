# One image for the subcommands `webhook`, `controller` and `serve`.
# It installs only from dist/wheels (see `make wheels`), so the build needs no network.
# The base image is named by digest, so that a tag that moves changes nothing; `make release-check` requires it.
ARG BASE=python:3.14-slim-trixie@sha256:51dafde81dbdb6ebde285137a295cf18a47ca95234fe388a343719cb97305b3d

FROM ${BASE} AS build
COPY dist/wheels /wheels
# pip runs from its own wheel, so the base image needs neither pip nor a shell.
RUN ["python3.14", "-c", "import glob, runpy, sys; sys.path.insert(0, glob.glob('/wheels/pip-*.whl')[0]); sys.argv = ['pip', 'install', '--no-index', '--find-links=/wheels', '--target=/app', '--no-warn-script-location', '--root-user-action=ignore', 'mcp-operator[otlp]']; runpy.run_module('pip', run_name='__main__')"]

FROM ${BASE}
# The root file system is read-only at run time, so byte code is compiled now.
RUN ["python3.14", "-c", "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2)"]
COPY --from=build /app /app
# `mcp-operator version` prints it: docker build --build-arg REVISION=$(git rev-parse HEAD) .
ARG REVISION=
LABEL org.opencontainers.image.revision=${REVISION}
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MCP_OPERATOR_REVISION=${REVISION}
USER 65532:65532
ENTRYPOINT ["python3.14", "-m", "cli"]
