FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin outbound

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --user-group --no-create-home outbound \
 && install -d -m 0700 -o outbound -g outbound /var/lib/outbound
COPY --from=build /build/target/release/outbound /usr/local/bin/outbound
USER outbound
ENV OUTBOUND_DATA_DIR=/var/lib/outbound
VOLUME /var/lib/outbound
EXPOSE 8080
ENTRYPOINT ["outbound"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
