/* SPDX-License-Identifier: Apache-2.0
 *
 * An open-loop client: so many requests per second to each of several gateways, whatever they answer, and what came back
 * by second of the wall clock of the run and by status. For limits, where the question is not how fast but how many.
 *
 *   pace [-c CONNECTIONS] [-p PATH] [-H "Name: value"] SECONDS PORT=RATE[,RATE...] [PORT=RATE...]
 *   pace -R ... the same with PING to Redis servers, whose PONG counts as status 200
 *
 * Several rates of one port follow each other in equal parts of the time. Prints one line of JSON:
 *   {"targets":[{"port":N,"sent":N,"lost":N,"skipped":N,"p50us":N,"p99us":N,"maxus":N,
 *     "begun":N,"first_answer":N,"last_200":N,"last_429_sent":N,"status":{"200":[per second...],...}}]}
 * skipped: all connections were waiting for an answer.
 * lost: requests whose connection ended without an answer, or that had none ten seconds after the end.
 * Moments are microseconds of CLOCK_MONOTONIC, 0: there was none. A gateway decides by a clock that it read after it was
 * called and before it answers. It is called first by the first connection (begun); with that, the first answer, the last
 * 200 and the sending of the last request that got 429, what a bucket may have let in has exact bounds (t/lib/pace.py).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const int64_t patience_us = 10000000;
enum { max_targets = 16, max_parts = 16, max_connections = 1024, max_seconds = 700, statuses = 6, buckets = 100000 };
static const int known[statuses] = {200, 403, 429, 502, 503, 0}; /* 0: any other */

struct connection {
  struct target *target;
  int fd;
  int busy;
  int64_t sent_us;
  size_t filled;
  char in[8192];
};
struct target {
  int port, parts, rates[max_parts];
  double owed;
  long sent, lost, skipped;
  int next;
  struct connection *connections;
  long counts[statuses][max_seconds];
  uint32_t latency[buckets]; /* by 10 us */
  int64_t max_us, begun, first_answer, last_200, last_429_sent;
};

static struct target targets[max_targets];
static int target_count, connection_count = 32, poll_fd, is_redis;
static char request[2048];
static size_t request_length;
static int64_t start_us;

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int dial(struct connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->target->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = c}};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  c->busy = 0;
  c->filled = 0;
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    return 0;
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
  return 1;
}

static void lose(struct connection *c) {
  if (c->busy) c->target->lost++;
  close(c->fd);
  c->fd = -1;
}

static void count(struct connection *c, int status) {
  struct target *t = c->target;
  int64_t us = now_us(), took = us - c->sent_us;
  long second = (c->sent_us - start_us) / 1000000;
  int i = 0;
  while (i < statuses - 1 && known[i] != status) ++i;
  if (second >= 0 && second < max_seconds) t->counts[i][second]++;
  t->latency[took / 10 < buckets ? took / 10 : buckets - 1]++;
  if (took > t->max_us) t->max_us = took;
  if (t->first_answer == 0) t->first_answer = us;
  if (status == 200) t->last_200 = us;
  if (status == 429 && c->sent_us > t->last_429_sent) t->last_429_sent = c->sent_us;
  c->busy = 0;
  c->filled = 0;
}

/* One answer at a time is expected; it has a Content-Length or none. */
static void receive(struct connection *c) {
  ssize_t n = recv(c->fd, c->in + c->filled, sizeof c->in - 1 - c->filled, 0);
  char *end, *length;
  size_t head;
  if (n <= 0) {
    if (n < 0 && errno == EAGAIN) return;
    lose(c);
    return;
  }
  c->filled += (size_t)n;
  c->in[c->filled] = 0;
  if (is_redis) {
    if (strstr(c->in, "\r\n") != NULL) count(c, strncmp(c->in, "+PONG", 5) == 0 ? 200 : 0);
    return;
  }
  end = strstr(c->in, "\r\n\r\n");
  if (end == NULL) return;
  head = (size_t)(end - c->in) + 4;
  length = strcasestr(c->in, "\r\ncontent-length:");
  if (c->filled < head + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0)) return;
  count(c, atoi(c->in + 9));
  if (strcasestr(c->in, "\r\nconnection: close") != NULL) lose(c);
}

static void send_due(struct target *t) {
  while (t->owed >= 1) {
    struct connection *c = NULL;
    for (int i = 0; i < connection_count && c == NULL; ++i) {
      struct connection *candidate = &t->connections[t->next++ % connection_count];
      if (!candidate->busy && (candidate->fd >= 0 || dial(candidate))) c = candidate;
    }
    t->owed -= 1;
    t->sent++;
    if (c == NULL) {
      t->skipped++;
      continue;
    }
    c->busy = 1;
    c->sent_us = now_us();
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) lose(c);
  }
}

static long percentile(const struct target *t, double part) {
  uint64_t all = 0, seen = 0;
  for (int i = 0; i < buckets; ++i) all += t->latency[i];
  for (int i = 0; i < buckets; ++i) {
    seen += t->latency[i];
    if ((double)seen >= part * (double)all) return i * 10L;
  }
  return 0;
}

static void print(int seconds) {
  printf("{\"targets\":[");
  for (int n = 0; n < target_count; ++n) {
    struct target *t = &targets[n];
    printf("%s{\"port\":%d,\"sent\":%ld,\"lost\":%ld,\"skipped\":%ld,\"p50us\":%ld,\"p99us\":%ld,\"maxus\":%ld,\"begun\":%ld,\"first_answer\":%ld,\"last_200\":%ld,\"last_429_sent\":%ld,\"status\":{", n > 0 ? "," : "", t->port, t->sent, t->lost, t->skipped,
           percentile(t, 0.5), percentile(t, 0.99), (long)t->max_us, (long)t->begun, (long)t->first_answer, (long)t->last_200, (long)t->last_429_sent);
    for (int i = 0; i < statuses; ++i) {
      printf("%s\"%d\":[", i > 0 ? "," : "", known[i]);
      for (int s = 0; s < seconds; ++s) printf("%s%ld", s > 0 ? "," : "", t->counts[i][s]);
      printf("]");
    }
    printf("}}");
  }
  printf("]}\n");
}

static int any_busy(void) {
  for (int i = 0; i < target_count * connection_count; ++i) {
    if (targets[i / connection_count].connections[i % connection_count].busy) return 1;
  }
  return 0;
}

static void run(int seconds) {
  int64_t last, end;
  start_us = last = now_us();
  end = start_us + seconds * 1000000LL;
  while (last < end + (any_busy() ? patience_us : 0)) {
    struct epoll_event events[256];
    int n = epoll_wait(poll_fd, events, 256, 1);
    int64_t now = now_us();
    for (int i = 0; i < n; ++i) receive(events[i].data.ptr);
    for (int i = 0; i < target_count && now < end; ++i) {
      struct target *t = &targets[i];
      int part = (int)((now - start_us) * t->parts / (seconds * 1000000LL));
      t->owed += t->rates[part] * (double)(now - last) / 1e6;
      send_due(t);
    }
    last = now;
  }
  for (int i = 0; i < target_count * connection_count; ++i) {
    struct connection *c = &targets[i / connection_count].connections[i % connection_count];
    if (c->busy) lose(c);
  }
}

int main(int argc, char **argv) {
  const char *path = "/", *field = "X-Pace: 1";
  int option, seconds;
  while ((option = getopt(argc, argv, "c:p:H:R")) != -1) {
    if (option == 'c') connection_count = atoi(optarg);
    else if (option == 'p') path = optarg;
    else if (option == 'H') field = optarg;
    else if (option == 'R') is_redis = 1;
    else return 2;
  }
  if (argc - optind < 2 || connection_count > max_connections) return 2;
  seconds = atoi(argv[optind++]);
  if (seconds < 1 || seconds > max_seconds) return 2;
  request_length = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", path, field);
  if (is_redis) request_length = (size_t)snprintf(request, sizeof request, "PING\r\n");
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (; optind < argc && target_count < max_targets; ++optind, ++target_count) {
    struct target *t = &targets[target_count];
    char *at = strchr(argv[optind], '=');
    t->port = atoi(argv[optind]);
    while (at != NULL && t->parts < max_parts) {
      t->rates[t->parts++] = atoi(at + 1);
      at = strchr(at + 1, ',');
    }
    t->begun = now_us();
    t->connections = calloc((size_t)connection_count, sizeof *t->connections);
    for (int i = 0; i < connection_count; ++i) {
      t->connections[i].target = t;
      dial(&t->connections[i]);
    }
  }
  run(seconds);
  print(seconds);
  return 0;
}
