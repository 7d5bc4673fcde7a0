# bokehflow with Dagster's UI, built from the lock, run by nobody special.
#
#   docker build -t bokehflow .                          for a CPU
#   docker build -t bokehflow --build-arg DEVICE=cuda .  for an NVIDIA GPU; run it with --gpus all
#   docker build -t bokehflow --build-arg EXTRAS="postgres dask" .  with extras of pyproject.toml; see deploy/
#
#   docker run --rm -v "$PWD:/study" --user "$(id -u):$(id -g)" bokehflow init .
#   docker run --rm -v "$PWD:/study" --user "$(id -u):$(id -g)" -p 127.0.0.1:3000:3000 bokehflow
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG DEVICE=cpu
ARG EXTRAS=
WORKDIR /source
COPY requirements-build.lock requirements.lock pyproject.toml ./
RUN python -m venv /opt/bokehflow \
    && /opt/bokehflow/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements-build.lock
ENV VIRTUAL_ENV=/opt/bokehflow PATH=/opt/bokehflow/bin:$PATH UV_NO_CACHE=1
# The lock's torch is the CUDA build. That for CPUs comes from PyTorch's own index, of the same version but with other
# hashes than the lock's; all else is checked against them.
RUN case "$DEVICE" in \
        cpu) grep -oE '^torch(vision)?==[^ ]+' requirements.lock > torch.txt \
            && uv pip install --no-deps --torch-backend cpu --requirement torch.txt ;; \
        cuda) ;; \
        *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; \
    esac
RUN for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done \
    && uv pip install --verify-hashes --constraint requirements.lock --build-constraint requirements-build.lock \
    --requirement pyproject.toml "$@"
COPY README.md LICENSE dagster.yaml workspace.yaml bokehflow.toml ./
COPY docs/commons.toml docs/configuration.md docs/
COPY deploy/dagster.postgres.yaml deploy/
COPY pipeline pipeline
COPY assets assets
COPY resources resources
COPY storage storage
RUN uv pip install --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim
ARG DEVICE=cpu
# torch.compile starts its kernels through a C compiler, whichever the distribution has.
# hadolint ignore=DL3008
RUN if [ "$DEVICE" = cuda ]; then \
        apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --create-home --uid 1000 bokehflow \
    && chmod 1777 /home/bokehflow \
    && install --directory --owner bokehflow /study
COPY --from=build /opt/bokehflow /opt/bokehflow
# Whoever runs it, by --user too, has a name and a folder for caches. The pages listen to the container's network; what
# reaches them from outside is what -p publishes, and without the token in the printed address nobody gets in.
ENV PATH=/opt/bokehflow/bin:$PATH HOME=/home/bokehflow USER=bokehflow BOKEHFLOW_LISTEN=0.0.0.0
USER 1000
WORKDIR /study
VOLUME /study
EXPOSE 3000
ENTRYPOINT ["bokehflow"]
CMD ["dev"]
