# The farloop binary, alone in its image: the coordinator, the worker with the demo functions, and every command.
#
#     docker build -t farloop .
#     docker run --rm farloop --help
#
# For a worker of your own take this file, name your package, and give its binary to the last stage.

# Where Rust comes from. tests/compose builds this file where no image can be pulled, from a stand-in that checks the
# command below: that is why it is a plain list of words, which needs no shell.
ARG RUST_IMAGE=rust:1.95-bookworm
FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# Linked statically in the last step alone: dependencies and their macros are built as always.
RUN ["cargo", "rustc", "--release", "--locked", "--package", "farloop-cli", "--bin", "farloop", "--", "-C", "target-feature=+crt-static"]
# An empty directory, to be owned by who runs the binary: volumes take their owner from the image. Once for the token,
# once for the records of the coordinator.
WORKDIR /out/farloop

FROM scratch
COPY --from=build /src/target/release/farloop /farloop
COPY --from=build --chown=65532:65532 /out/farloop /run/farloop
COPY --from=build --chown=65532:65532 /out/farloop /var/lib/farloop
USER 65532:65532
EXPOSE 7171
ENTRYPOINT ["/farloop"]
