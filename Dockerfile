# One image for every process of ours; the command says which: docker run IMAGE python -m services.order

FROM python:3.11.14-slim-bookworm AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

# What production needs, by hash; pip works on that environment from outside and is not in it.
COPY requirements-production.lock ./
RUN python -m venv --without-pip /opt/commerce \
 && python -m pip --python /opt/commerce/bin/python install \
      --require-hashes --no-deps --only-binary :all: --requirement requirements-production.lock

# What builds the wheel, by hash too: hatchling and its own requirements.
COPY requirements.lock ./
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } wanted' \
      requirements.lock > requirements-build.lock \
 && python -m pip install --require-hashes --no-deps --only-binary :all: --requirement requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY generated ./generated
COPY services ./services
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/commerce/bin/python install --no-deps --no-index dist/commerce-*.whl \
 && cd / && COMMERCE_SETTINGS_ROOT=/settings /opt/commerce/bin/python -m services.cluster.provision folders


FROM python:3.11.14-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
 && rm -rf /usr/local/lib/python3.11/ensurepip /root/.cache \
 && groupadd --gid 10001 commerce \
 && useradd --uid 10001 --gid commerce --no-create-home --home-dir /var/lib/commerce --shell /usr/sbin/nologin commerce \
 && install --directory --owner=commerce --group=commerce --mode=0700 /var/lib/commerce /var/lib/commerce/sandbox
COPY --from=builder /opt/commerce /opt/commerce
# A fresh volume takes its owner from the folder that it is mounted on.
COPY --from=builder --chown=10001:10001 /settings /settings

# As the embedded cluster starts its processes. Bytecode was written when the packages were installed.
ENV PATH=/opt/commerce/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    COMMERCE_HOME=/var/lib/commerce \
    TZ=UTC
WORKDIR /var/lib/commerce
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "services.cluster.probe"]
ENTRYPOINT ["python", "-m", "services.cluster.enter"]
CMD ["commerce", "--help"]
