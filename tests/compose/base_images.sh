#!/bin/bash
# Makes stand-ins for apache/airflow, valkey/valkey and postgres from packages of Debian and PyPI: for a Docker engine that
# reaches no image registry. Needs root, debootstrap, pip for Python 3.11, and about 4 GB in the folder that is its argument.
#   tests/compose/base_images.sh /tmp/base-images
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1
airflow=$(sed -n 's/^ARG AIRFLOW_IMAGE=//p' "$here/../../workers/Dockerfile")
image_of() { sed -n "s|^ *image: \($1:.*\)|\1|p" "$here/../../docker-compose.yml"; }

mkdir -p "$work/context"
[[ -d $work/rootfs/usr/lib/postgresql ]] || debootstrap --variant=minbase \
    --include=python3,python3-venv,dumb-init,ca-certificates,procps,postgresql,redis-server bookworm "$work/rootfs"
tar -C "$work/rootfs" -c --exclude=./var/cache --exclude=./var/lib/apt . | docker import - hybrid-test-rootfs >/dev/null
[[ -d $work/context/wheels ]] || python3 -m pip download --dest "$work/context/wheels" --only-binary :all: \
    "apache-airflow==${airflow##*:}" "celery[redis]" "redis[hiredis]" kubernetes tenacity psycopg2-binary asyncpg async-timeout \
    apache-airflow-providers-celery apache-airflow-providers-cncf-kubernetes setuptools wheel
cp "$here"/{Dockerfile,entrypoint,postgres-entrypoint} "$work/context"
build() { DOCKER_BUILDKIT=0 docker build --quiet --target "$1" --tag "$2" --build-arg AIRFLOW_VERSION="${airflow##*:}" "$work/context"; }
build airflow "$airflow"
build valkey "$(image_of valkey/valkey)"
build postgres "$(image_of postgres)"
