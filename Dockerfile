# One image for every role: web, worker, beat and the one-shot migration differ only in their command.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DATA_DIR=/data
WORKDIR /app

COPY requirements.txt .
RUN pip install --requirement requirements.txt

COPY . .
RUN python -m compileall -q . \
    && useradd --system --uid 10001 --home-dir /data --create-home switchboard

USER switchboard
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); exit(c.getresponse().status >= 500)"]
CMD ["python", "manage.py", "serve", "--listen", "0.0.0.0:8000", "--server", "uvicorn"]
