// SPDX-License-Identifier: Apache-2.0
//
// One TLS connection after another, a request on each: what a handshake costs the gateway. Blocking, one at a time;
// the figure is the gateway's processor time, so the pace does not matter.
//
//   handshake [HOST:]PORT PATH SECONDS full|resumed
//
// TLS 1.3, AES-128-GCM, X25519. "resumed" offers the newest ticket of the connection before and counts an answer as
// bad when it was not taken. Prints the line that lab.py reads.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static SSL_SESSION* ticket;

static int keep(SSL* ssl, SSL_SESSION* session) {
  (void)ssl;
  SSL_SESSION_free(ticket);
  ticket = session;
  return 1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Whether a whole answer with status 200 came back; *as_wished: over the kind of handshake that was asked for.
static bool once(SSL_CTX* context, const struct sockaddr_in* where, const char* request, bool resume, bool* as_wished) {
  const int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  bool good = false;
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (resume && ticket != NULL) SSL_set_session(ssl, ticket);
  if (connect(fd, (const struct sockaddr*)where, sizeof *where) == 0 && SSL_connect(ssl) == 1 &&
      SSL_write(ssl, request, (int)strlen(request)) > 0) {
    char answer[4096];
    int n = SSL_read(ssl, answer, sizeof answer);
    good = n > 12 && memcmp(answer + 8, " 200", 4) == 0;
    while (n > 0) n = SSL_read(ssl, answer, sizeof answer);
    *as_wished = (SSL_session_reused(ssl) != 0) == resume;
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  ERR_clear_error();
  SSL_free(ssl);
  close(fd);
  return good;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const char* colon = strrchr(argv[1], ':');
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : argv[1]))};
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const double seconds = atof(argv[3]);
  const bool resume = strcmp(argv[4], "resumed") == 0;
  char request[512];
  snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", argv[2]);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(context, "X25519");
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, keep);
  long requests = 0, bad = 0, errors = 0;
  bool as_wished = true;
  if (resume) once(context, &where, request, false, &as_wished);
  const double begin = now();
  double end = begin;
  while (end - begin < seconds) {
    if (!once(context, &where, request, resume, &as_wished)) ++errors;
    else if (!as_wished) ++bad;
    else ++requests;
    end = now();
    if (errors > 10) break;
  }
  printf("REPORT {\"requests\": %ld, \"seconds\": %.6f, \"bad\": %ld, \"errors\": %ld, \"p50\": 0, \"p99\": 0, \"max\": 0}\n", requests,
         end - begin, bad, errors);
  return 0;
}
