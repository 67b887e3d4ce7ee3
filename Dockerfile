# docker build -t poisonscan .
# docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL \
#     --security-opt no-new-privileges -v "$PWD:/scan:ro" poisonscan scan .
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY rules rules
COPY poisonscan poisonscan
RUN python -m venv /opt/poisonscan \
    && /opt/poisonscan/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
COPY --from=build /opt/poisonscan /opt/poisonscan
ENV PATH=/opt/poisonscan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# Whose files are mounted decides what can be read; a number needs no entry in /etc/passwd.
USER 65532:65532
WORKDIR /scan
ENTRYPOINT ["poisonscan"]
CMD ["--help"]
