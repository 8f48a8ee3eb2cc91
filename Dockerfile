# The one image: `webhook`, `controller` and `serve` are subcommands of its program.
# It installs from dist/wheels only (see `make wheels`), so building it needs no network.
ARG BASE=python:3.14-slim

FROM ${BASE} AS build
COPY dist/wheels /wheels
# pip runs out of its own wheel: a base without pip or a shell will do.
RUN ["python3.14", "-c", "import glob, runpy, sys; sys.path.insert(0, glob.glob('/wheels/pip-*.whl')[0]); sys.argv = ['pip', 'install', '--no-index', '--find-links=/wheels', '--target=/app', '--no-warn-script-location', '--root-user-action=ignore', 'mcp-operator']; runpy.run_module('pip', run_name='__main__')"]

FROM ${BASE}
# The root is read-only at run time, so everything that Python would write there is written now.
RUN ["python3.14", "-c", "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2)"]
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3.14", "-m", "cli"]
