# Dockerfile and Dockerfile.aarch64 differ in the line of BASE_IMAGE only; a test sees to it.
ARG BASE_IMAGE=ghcr.io/linuxserver/baseimage-alpine:3.20
# The same base for the building machine: whatever does not depend on the
# architecture runs on it, natively, and once for both images.
ARG BUILD_IMAGE=${BASE_IMAGE/:arm64v8-/:}

FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS native
RUN --mount=type=bind,source=build/packages,target=/build/packages \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /build/packages run build

# The extensions that PyPI has no wheels of, compiled natively for each architecture.
FROM native AS sources
COPY build/packages build/extensions build/extensions.txt build/tools.txt /build/

FROM sources AS extensions-amd64
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    /build/extensions amd64 /wheels

FROM sources AS extensions-arm64
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    /build/extensions arm64 /wheels

FROM extensions-${TARGETARCH} AS extensions-cross

# Where the distribution cannot cross-compile (apk), they are compiled on the target.
FROM ${BASE_IMAGE} AS extensions
ARG TARGETARCH
ARG QEMU_CPU
RUN --mount=type=bind,from=extensions-cross,source=/wheels,target=/cross \
    --mount=type=bind,from=sources,source=/build,target=/build \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    mkdir /wheels && { cp /cross/*.whl /wheels 2>/dev/null || { /build/packages run build && /build/extensions "$TARGETARCH" /wheels; }; }

# The list of the release; a stage of its own, so that what is made of it does not
# depend on the list of the other.
FROM native AS lock
ARG NETBOX_RELEASE
RUN --mount=type=bind,source=build/requirements.txt,target=/build/requirements.txt \
    --mount=type=bind,source=build/previous.txt,target=/build/previous.txt \
    list=$(grep -l "^netbox==${NETBOX_RELEASE:-.*} " /build/requirements.txt /build/previous.txt | head -n 1) && \
    { [ -n "$list" ] || { echo "no list in build is for NetBox $NETBOX_RELEASE: name it in versions.yml and run build/lock" >&2; exit 1; }; } && \
    cp "$list" /netbox.txt

FROM extensions-${BUILDARCH} AS extensions-native

# NetBox for the building machine, with the compiled psycopg: the one in Python
# looks for libpq in a way that musl does not know.
FROM native AS netbox
ARG BUILDARCH
ENV PSYCOPG_IMPL=c
COPY build/install /build/
COPY --from=lock /netbox.txt /build/
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=extensions-native,source=/wheels,target=/wheels \
    /build/install "$BUILDARCH" /build/netbox.txt /wheels/*.whl

FROM netbox AS static
COPY build/static build/settings.py /build/
RUN /build/static

FROM native AS server
RUN --mount=type=bind,source=build/packages,target=/build/packages \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /build/packages schema

FROM server AS schema
COPY build/schema build/migrate.py build/settings.py /build/
COPY root/opt/netbox/lib/netbox_container/__init__.py root/opt/netbox/lib/netbox_container/snapshot.py /build/netbox_container/
RUN --mount=type=bind,from=netbox,source=/lsiopy,target=/lsiopy \
    PSYCOPG_IMPL=c /build/schema /build /schema.sql.gz

# NetBox for the image's architecture.
FROM native AS target
ARG TARGETARCH
COPY build/install build/finish build/compile build/extras.txt /build/
COPY --from=lock /netbox.txt /build/
RUN --mount=type=bind,from=extensions,source=/wheels,target=/wheels \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    --mount=type=cache,target=/root/.cache/pip \
    /build/install "$TARGETARCH" /build/netbox.txt /build/extras.txt /wheels/*.whl && /build/finish

FROM native AS overlay
COPY root/ /overlay/
RUN ! grep -rl "$(printf '\r')" /overlay || { echo "these files have Windows line ends (CRLF): check them out again with .gitattributes in force" >&2; exit 1; }
# The modes are those of the image, not of the checkout it is built from; and a
# file that is mounted over one of these is not to lose to its byte code.
RUN chmod -R u=rwX,go=rX /overlay && \
    python3 -m compileall -q --invalidation-mode checked-hash -s /overlay -p / /overlay/opt/netbox

FROM native AS version
ARG VERSION
ARG BUILD_DATE
RUN printf 'Linuxserver.io version: %s\nBuild-date: %s\n' "$VERSION" "$BUILD_DATE" >/build_version

FROM ${BASE_IMAGE}
ARG QEMU_CPU
# For another architecture, native lends it programs of the building machine.
# iproute2 comes with nginx; Alpine's python3 has a header of its own that mods compile with.
# Cron, which runs as root, needs no secret, and not to run for Alpine's own crontab.
RUN --mount=type=bind,source=build/packages,target=/build/packages \
    --mount=type=bind,source=build/native,target=/build/native \
    --mount=type=bind,from=native,target=/native \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /build/native /build/packages run && rm -rf /usr/include/iproute2 && \
    { [ ! -e /etc/crontabs/root ] || : >/etc/crontabs/root; } && \
    sed -i '1s|.*|#!/bin/bash\nexport TZ="$(/command/printcontenv TZ)"|' /etc/s6-overlay/s6-rc.d/svc-cron/run
COPY --from=target /lsiopy /lsiopy
COPY --from=target /netbox /
COPY --from=static /opt/netbox/static /opt/netbox/static
COPY --from=schema /schema.sql.gz /opt/netbox/schema.sql.gz
COPY --from=overlay /overlay/ /
COPY --from=version /build_version /build_version

# A service that fails ends the container; /init gives services the time they need to stop.
ENV S6_BEHAVIOUR_IF_STAGE2_FAILS=2 \
    S6_SERVICES_GRACETIME=10000 \
    S6_KILL_GRACETIME=1000 \
    DJANGO_SETTINGS_MODULE=netbox.settings \
    NETBOX_ROOT=/opt/netbox \
    PYTHONUNBUFFERED=1
EXPOSE 8000
VOLUME /config
HEALTHCHECK --interval=30s --timeout=30s --start-period=10m --start-interval=5s --retries=3 \
    CMD ["/usr/bin/as-abc", "/lsiopy/bin/python3", "-P", "-m", "netbox_container.health"]

ARG VERSION
ARG BUILD_DATE
ARG REVISION
LABEL maintainer="linuxserver.io" \
      build_version="Linuxserver.io version:- ${VERSION} Build-date:- ${BUILD_DATE}" \
      org.opencontainers.image.authors="linuxserver.io" \
      org.opencontainers.image.created="${BUILD_DATE}" \
      org.opencontainers.image.description="NetBox, the source of truth for networks: IP address management and data center infrastructure management." \
      org.opencontainers.image.documentation="https://docs.linuxserver.io/images/docker-netbox" \
      org.opencontainers.image.licenses="GPL-3.0-only" \
      org.opencontainers.image.ref.name="${REVISION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/linuxserver/docker-netbox" \
      org.opencontainers.image.title="Netbox" \
      org.opencontainers.image.url="https://github.com/linuxserver/docker-netbox/packages" \
      org.opencontainers.image.vendor="linuxserver.io" \
      org.opencontainers.image.version="${VERSION}"
