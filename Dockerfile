# The borderflow command: worker, topics, load, analyst's tools. Two stages: the second has no compiler and no sources.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/borderflow
# The locked versions of the run-time dependencies: a layer that only a change of versions rebuilds.
COPY pyproject.toml requirements.lock ./
# With the extra `reports`: without it replay, simulate and shadow could not write their reports.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + p['optional-dependencies']['reports']))" > runtime.txt \
 && /opt/borderflow/bin/pip install --constraint requirements.lock --requirement runtime.txt
COPY README.md LICENSE ./
COPY schemas schemas
COPY agents agents
COPY streams streams
COPY load load
RUN /opt/borderflow/bin/pip install --no-deps . && /opt/borderflow/bin/pip uninstall --yes pip

FROM python:3.12.12-slim-bookworm
LABEL org.opencontainers.image.title="borderflow" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin borderflow \
 && install --directory --owner=10001 --group=10001 /var/lib/borderflow
COPY --from=build /opt/borderflow /opt/borderflow
# Where the archive, the audit trail and the console keep their files; mount a volume here.
WORKDIR /var/lib/borderflow
ENV PATH=/opt/borderflow/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
EXPOSE 6066
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('BORDERFLOW_WEB_PORT') or 6066), timeout=4)"]
ENTRYPOINT ["borderflow"]
CMD ["worker"]
