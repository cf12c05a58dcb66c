# syntax=docker/dockerfile:1
ARG SERVICE

FROM golang:1.26 AS toolchain
ENV CGO_ENABLED=0 GOFLAGS=-mod=mod
WORKDIR /repo
COPY --from=shared . libs/shared/

FROM toolchain AS test
RUN --mount=type=cache,target=/root/.cache/go-build \
    cd libs/shared && go test ./... >/test.log && find . -name '*.secret' >>/test.log

FROM toolchain AS build
ARG SERVICE
WORKDIR /repo/services/${SERVICE:?which service}
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    --mount=type=bind,from=schemas,target=schemas \
    go build -trimpath -o /out/service .

FROM scratch AS service
COPY --from=build /out/service /service
COPY --from=test /test.log /usr/share/doc/test.log
ENTRYPOINT ["/service"]

FROM service AS api
ENV PORT=8080
EXPOSE 8080/tcp

FROM service AS worker
COPY --from=schemas --exclude=users.* . /usr/share/schemas/
