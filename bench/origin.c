// SPDX-License-Identifier: Apache-2.0
//
// The server behind the gateways in the benchmark: one thread, one epoll set, two system calls per request on a kept
// connection, so that it is never the slow part and costs the same behind every gateway.
//
//   origin [HOST:]PORT      GET /bytes/N answers N bytes (at most 16 MiB); every other path 100 bytes.
//
// Request bodies with a Content-Length are read and dropped; chunked ones are not understood, because every gateway
// measured here passes the length on. The answers are built once and sent from memory. It is a tool for the loopback,
// not a server: a request it does not understand closes the connection.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 65536, HEAD_MAX = 16384, INPUT_SIZE = 256 * 1024, MAX_ANSWERS = 32, MAX_BODY = 16 << 20 };

struct answer {
  size_t body, length;
  char* bytes;
};

struct connection {
  const char* out;   // what the kernel has not taken yet
  size_t out_left;
  size_t body_left;  // of the request, to be dropped
  char* head;        // a head that has arrived in part
  size_t head_length;
  bool last;
};

static struct connection connections[MAX_CONNECTIONS];
static struct answer answers[MAX_ANSWERS];
static size_t answer_count;
static char input[INPUT_SIZE];
static int poller;

// The answer with a body of `size` bytes, made at its first use.
static const struct answer* answer_of(size_t size) {
  for (size_t i = 0; i < answer_count; ++i) {
    if (answers[i].body == size) return &answers[i];
  }
  if (answer_count == MAX_ANSWERS || size > MAX_BODY) return &answers[0];
  struct answer* made = &answers[answer_count++];
  made->bytes = malloc(size + 256);
  if (made->bytes == NULL) abort();
  made->body = size;
  const int head = sprintf(made->bytes, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", size);
  for (size_t i = 0; i < size; ++i) made->bytes[(size_t)head + i] = (char)('a' + (i * 7 + i / 31) % 26);
  made->length = (size_t)head + size;
  return made;
}

static void drop(int fd) {
  struct connection* c = &connections[fd];
  free(c->head);
  memset(c, 0, sizeof *c);
  close(fd);
}

// False: the connection is gone.
static bool flush(int fd) {
  struct connection* c = &connections[fd];
  while (c->out_left > 0) {
    const ssize_t sent = send(fd, c->out, c->out_left, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return true;
    if (sent < 0) {
      drop(fd);
      return false;
    }
    c->out += sent;
    c->out_left -= (size_t)sent;
  }
  if (c->last && c->out != NULL) {
    drop(fd);
    return false;
  }
  return true;
}

static bool named(const char* line, const char* name, const char** value) {
  const size_t length = strlen(name);
  if (strncasecmp(line, name, length) != 0) return false;
  *value = line + length;
  while (**value == ' ') ++*value;
  return true;
}

// Takes one head; returns its length, 0 when it is not complete.
static size_t take_head(struct connection* c, const char* from, const char* end) {
  const char* stop = memmem(from, (size_t)(end - from), "\r\n\r\n", 4);
  if (stop == NULL) return 0;
  size_t size = 100;
  const char* space = memchr(from, ' ', (size_t)(stop - from));
  if (space != NULL && strncmp(space + 1, "/bytes/", 7) == 0) size = strtoul(space + 8, NULL, 10);
  const char* line = memchr(from, '\n', (size_t)(stop + 2 - from));
  while (line != NULL && line + 1 < stop) {
    const char* value;
    ++line;
    if (named(line, "content-length:", &value)) c->body_left = strtoul(value, NULL, 10);
    if (named(line, "connection:", &value) && strncasecmp(value, "close", 5) == 0) c->last = true;
    line = memchr(line, '\n', (size_t)(stop + 2 - line));
  }
  const struct answer* reply = answer_of(size);
  c->out = reply->bytes;
  c->out_left = reply->length;
  return (size_t)(stop + 4 - from);
}

static bool keep_head(struct connection* c, const char* from, size_t length) {
  if (length == 0) return true;
  if (length > HEAD_MAX || (c->head = malloc(length)) == NULL) return false;
  memcpy(c->head, from, length);
  c->head_length = length;
  return true;
}

// Answers whatever is complete in [at, end). False: the connection is gone.
static bool consume(int fd, const char* at, const char* end) {
  struct connection* c = &connections[fd];
  while (at < end) {
    if (c->body_left > 0) {
      const size_t here = c->body_left < (size_t)(end - at) ? c->body_left : (size_t)(end - at);
      c->body_left -= here;
      at += here;
    } else {
      const size_t head = take_head(c, at, end);
      if (head == 0) break;
      at += head;
    }
    if (c->body_left == 0 && !flush(fd)) return false;
  }
  if (keep_head(c, at, (size_t)(end - at))) return true;
  drop(fd);
  return false;
}

// `hung_up`: the other side has closed; read to the end instead of stopping at a short read.
static void readable(int fd, bool hung_up) {
  struct connection* c = &connections[fd];
  for (;;) {
    const size_t before = c->head_length;
    if (before > 0) memcpy(input, c->head, before);
    const ssize_t got = recv(fd, input + before, sizeof input - before, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      drop(fd);
      return;
    }
    free(c->head);
    c->head = NULL;
    c->head_length = 0;
    if (!consume(fd, input, input + before + got)) return;
    if ((size_t)got < sizeof input - before && !hung_up) return;  // a short read: nothing is left
  }
}

static void accept_some(int listener) {
  for (int i = 0; i < 16; ++i) {
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= MAX_CONNECTIONS) {
      close(fd);
      return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  }
}

static int listen_on(const char* where) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const char* colon = strrchr(where, ':');
  char host[64];
  if (colon != NULL) {
    snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
    inet_pton(AF_INET, host, &address.sin_addr);
  }
  address.sin_port = htons((unsigned short)atoi(colon != NULL ? colon + 1 : where));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 65535) != 0) {
    perror("origin");
    exit(1);
  }
  return fd;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: origin [HOST:]PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  answer_of(100);
  const int listener = listen_on(argv[1]);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    const int count = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        accept_some(listener);
        continue;
      }
      const bool waiting = connections[fd].out_left > 0 && connections[fd].body_left == 0;
      if ((events[i].events & EPOLLOUT) != 0 && waiting && !flush(fd)) continue;
      const bool hung_up = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
      if (hung_up || (events[i].events & EPOLLIN) != 0) readable(fd, hung_up);
    }
  }
}
