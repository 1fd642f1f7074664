// SPDX-License-Identifier: Apache-2.0
//
// Tickets over two processes' views of one slab: what one seals the other opens, until the keys have moved up twice.
#include "core/tls_tickets.h"

#include <openssl/ssl.h>

#include <ctime>
#include <string>

#include "check.h"
#include "core/tls.h"
#include "core/tls_context.h"
#include "core/tls_identity.h"

using namespace goma::core;

namespace {

struct Only final : TlsChooser {
  explicit Only(ssl_ctx_st* c) : context(c) {}
  ssl_ctx_st* choose(std::string_view) const override { return context; }
  ssl_ctx_st* context;
};

// A worker: its view of the keys, and a context that serves with them.
struct Worker {
  explicit Worker(Slab& slab) : tickets(std::move(TlsTickets::open(slab)).value()) {
    const std::string pem = TlsIdentity::self_signed();
    TlsIdentity identity = std::get<TlsIdentity>(TlsIdentity::parse(pem, pem));
    const TlsIdentity* shown = &identity;
    context = std::move(TlsContext::server({}, {&shown, 1}, TlsClientRule(), false, &tickets)).value();
  }
  TlsTickets tickets;
  std::unique_ptr<TlsContext> context;
};

struct Visit {
  bool resumed = false;
  SSL_SESSION* session = nullptr;  // the caller's
};

// A whole handshake of a client that offers a session, and a first record so that it gets its ticket.
Visit visit(Worker& worker, SSL_SESSION* offered) {
  const Only chooser(worker.context->get());
  auto server = TlsSession::accept(worker.context->get(), chooser);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  TlsResumption memory;
  SSL_CTX_set_app_data(context, &memory);
  SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<TlsResumption*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->keep(session);
    return 1;
  });
  if (offered != nullptr) SSL_SESSION_up_ref(offered);
  memory.keep(offered);
  auto client = TlsSession::connect(context, "worker.test", &memory);
  std::string to_server, to_client;
  for (int i = 0; i < 4; ++i) {
    std::string_view in = to_client;
    std::string out;
    if (!client->established()) client->handshake(in, out);
    to_client.erase(0, to_client.size() - in.size());
    in = out;
    if (!server->established()) server->handshake(in, to_client);
  }
  CHECK(server->established() && client->established());
  server->seal("x", to_client);
  std::string_view in = to_client;
  char byte = 0;
  size_t n = 0;
  client->open(in, to_server, &byte, 1, n);
  CHECK_EQ(n, size_t{1});
  Visit result{server->resumed(), memory.latest()};
  if (result.session != nullptr) SSL_SESSION_up_ref(result.session);
  client.reset();
  SSL_CTX_free(context);
  return result;
}

void a_ticket_of_one_worker_is_opened_by_another() {
  Slab slab = std::move(Slab::create()).value();
  Worker first(slab), second(slab);
  const Visit fresh = visit(first, nullptr);
  CHECK(!fresh.resumed && fresh.session != nullptr);
  const Visit again = visit(second, fresh.session);
  CHECK(again.resumed);
  SSL_SESSION_free(fresh.session);
  SSL_SESSION_free(again.session);
}

void keys_move_up_and_the_one_before_still_opens() {
  Slab slab = std::move(Slab::create()).value();
  Worker first(slab), second(slab);
  const int64_t now = std::time(nullptr);
  const Visit fresh = visit(first, nullptr);
  second.tickets.rotate_when_due(now + TlsTickets::lifetime_s / 2);  // not due
  second.tickets.rotate_when_due(now + TlsTickets::lifetime_s + 1);
  first.tickets.rotate_when_due(now + TlsTickets::lifetime_s + 2);   // somebody was faster
  const Visit once = visit(first, fresh.session);
  CHECK(once.resumed);
  first.tickets.rotate_when_due(now + 2 * TlsTickets::lifetime_s + 3);
  const Visit twice = visit(second, fresh.session);
  CHECK(!twice.resumed);
  const Visit newer = visit(second, once.session);  // sealed after the first move
  CHECK(newer.resumed);
  for (SSL_SESSION* session : {fresh.session, once.session, twice.session, newer.session}) SSL_SESSION_free(session);
}

void after_a_long_rest_all_keys_are_new() {
  Slab slab = std::move(Slab::create()).value();
  Worker worker(slab);
  const Visit fresh = visit(worker, nullptr);
  worker.tickets.rotate_when_due(std::time(nullptr) + 2 * TlsTickets::lifetime_s + 5);
  const Visit late = visit(worker, fresh.session);
  CHECK(!late.resumed);
  SSL_SESSION_free(fresh.session);
  SSL_SESSION_free(late.session);
}

void keys_that_a_dead_writer_left_half_done_are_made_anew() {
  Slab slab = std::move(Slab::create()).value();
  Worker first(slab);
  const Visit fresh = visit(first, nullptr);
  auto* sequence = static_cast<std::atomic<uint64_t>*>(slab.zone("tls-tickets", "tls-tickets", 1, 8).value().memory);
  sequence->fetch_add(1);
  const Visit after = visit(first, fresh.session);
  CHECK(!after.resumed && sequence->load() % 2 == 0);
  Worker second(slab);
  const Visit again = visit(second, after.session);
  CHECK(again.resumed);
  for (SSL_SESSION* session : {fresh.session, after.session, again.session}) SSL_SESSION_free(session);
}

}  // namespace

GOMA_TESTS(a_ticket_of_one_worker_is_opened_by_another, keys_move_up_and_the_one_before_still_opens, after_a_long_rest_all_keys_are_new,
           keys_that_a_dead_writer_left_half_done_are_made_anew)
