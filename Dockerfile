FROM python:3.13-slim
RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app
COPY --chown=user . .
RUN pip install --no-cache-dir ".[app]"
USER user
HEALTHCHECK CMD python -c "import urllib.request as r; r.urlopen('http://localhost:7860/_stcore/health')"
CMD ["transformer-calculator", "app", "--server.port=7860", "--server.address=0.0.0.0", "--server.headless=true"]
