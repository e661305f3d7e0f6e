#!/bin/bash
# Succeeds if every model named has a version that is available, by its status over REST.
# The server's image has neither curl nor wget.
for name in "$@"; do
    exec 3<>"/dev/tcp/127.0.0.1/${REST_PORT:-8501}" || exit 1
    printf 'GET /v1/models/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' \
        "$name" >&3
    grep -q '"state": *"AVAILABLE"' <&3 || exit 1
    exec 3>&-
done
