# docker build -t lra . && docker run --rm -v "$PWD/results:/lra/results" lra
# With CUDA: docker build --build-arg TORCH_BACKEND=cu130 …, docker run --gpus all …
FROM debian:13-slim
ARG TORCH_BACKEND=cpu
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git make python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv
ENV PATH="/lra/.venv/bin:/opt/uv/bin:$PATH"
WORKDIR /lra
COPY . .
RUN make install UV_TORCH_BACKEND="$TORCH_BACKEND" && uv cache clean
CMD ["make", "demo"]
