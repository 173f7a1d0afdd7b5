# An image with Burgee in it and nothing else: no shell, no libraries, no user but a number.
#
#     docker build --build-arg BURGEE_REVISION="$(git rev-parse --short HEAD)" --tag burgee .
#
# The demo, and then an environment of your own. Inside the container Burgee has to listen on all addresses to be
# reached from outside; the default does, the demo's own setting does not. The demo also needs a place for its flags:
#
#     docker run --rm --read-only --tmpfs /tmp --publish 127.0.0.1:8000:8000 --env BURGEE_LISTEN=0.0.0.0:8000 \
#         burgee serve --demo
#     docker run --read-only --publish 8000:8000 --volume ./burgee:/etc/burgee:ro burgee
#
# The second reads ./burgee/burgee.toml; paths in it are relative to /etc/burgee. The admin port is for this container
# alone until admin.listen says otherwise: publish it to operators only, and set admin.token.

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY .ci/build-static .ci/
COPY benches benches
COPY config config
COPY src src
ARG BURGEE_REVISION=unknown
# The commands are in a script, because CI runs them too. The folders of downloads and of the build outlive this step,
# so that the next image compiles no dependency again; that is why the binary is copied out of them, and why our own
# files are touched: by their dates alone they might look older than what was built from others.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    touch src/*.rs && binary=$(.ci/build-static) && cp "$binary" /burgee

FROM scratch
ARG BURGEE_REVISION=unknown
LABEL org.opencontainers.image.title="Burgee" \
      org.opencontainers.image.description="Edge proxy for runtime feature flags" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${BURGEE_REVISION}"
COPY LICENSE /LICENSE
COPY --from=build /burgee /usr/local/bin/burgee
ENV PATH=/usr/local/bin
# burgee.toml is looked up in the current directory.
WORKDIR /etc/burgee
# "nonroot" in images that have names. Only --demo writes anything, below /tmp: the root may be read-only.
USER 65532:65532
# SDK traffic, and the admin port.
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["burgee", "healthcheck"]
ENTRYPOINT ["burgee"]
CMD ["serve"]
