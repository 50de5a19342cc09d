# docker build -t wtn .                          CPU
# docker build -t wtn --build-arg BUILD=cu130 .  CUDA; any build that download.pytorch.org lists
FROM python:3.12-slim

ARG BUILD=cpu
RUN pip install --no-cache-dir torch torchvision \
    --index-url "https://download.pytorch.org/whl/${BUILD}"

WORKDIR /opt/wtn
COPY pyproject.toml README.md LICENSE ./
COPY wtn_cli wtn_cli
COPY pipelines pipelines
RUN pip install --no-cache-dir .

WORKDIR /data
ENTRYPOINT ["wtn"]
CMD ["--help"]
