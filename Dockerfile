# The static program and nothing else: no shell, no libraries, time zones inside
# the program. Build the programs first:
#
#	make dist && docker buildx build --platform linux/amd64,linux/arm64 -t shoal .
FROM scratch
ARG TARGETARCH
COPY dist/shoal-linux-${TARGETARCH} /shoal
# Where events and features beyond limits.memory go; mount something large there.
WORKDIR /tmp
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/shoal"]
