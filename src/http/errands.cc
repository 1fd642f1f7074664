// SPDX-License-Identifier: Apache-2.0
//
// A client that takes everything and keeps nothing.
#include "http/errands.h"

#include "core/arena.h"
#include "http/runtime.h"

namespace goma::http {

class Errand final : public ClientStream {
 public:
  Errand(Errands& owner, Runtime& runtime, Exchange& like) : owner_(owner), arena_(runtime.chunks) {
    deadline_.bind<&Errand::on_deadline>(runtime.wheel, this);
    deadline_.in(Errands::longest_ms);
    exchange_ = arena_.make<Exchange>(runtime, *this, arena_, copy_head(like.request()), arena_.copy(like.client().socket_ip), nullptr);
  }

  Exchange& exchange() { return *exchange_; }
  void send_informational(const ResponseHead&) override {}
  void send_head(const ResponseHead&) override {}
  void send_body(std::string_view) override {}
  void finish(const Headers*) override { over(); }
  Flow flush() override { return Flow::go; }
  void abort() override { over(); }
  void resume_request() override {}
  bool can_splice() const override { return false; }
  core::Stream::Read splice(core::Stream&, size_t) override { return {}; }

  core::ListHook hook;

 private:
  RequestHead& copy_head(const RequestHead& like) {
    auto* head = arena_.make<RequestHead>(arena_);
    head->method = Method::get;
    head->method_text = "GET";
    head->target = arena_.copy(like.target);
    head->host = arena_.copy(like.host);
    head->path = arena_.copy(like.path);
    head->query = arena_.copy(like.query);
    head->has_query = like.has_query;
    for (const Header& h : like.headers) head->headers.add(h.id, arena_.copy(h.name), arena_.copy(h.value));
    return *head;
  }
  void on_deadline() {
    if (!exchange_->over()) exchange_->client_gone(Ending::backend_timeout);
    over();
  }
  void over();

  Errands& owner_;
  core::Arena arena_;
  core::Deadline deadline_;
  Exchange* exchange_ = nullptr;
};

struct Errands::Lists {
  core::List<Errand, &Errand::hook> under_way;
  core::List<Errand, &Errand::hook> over;
};

// Not on the stack of its own exchange.
void Errand::over() {
  deadline_.clear();
  hook.unlink();
  owner_.lists_->over.push_back(*this);
  owner_.runtime_.loop.defer(owner_.burial_);
}

Errands::Errands(Runtime& runtime) : runtime_(runtime), lists_(std::make_unique<Lists>()) {
  burial_.bind<&Errands::bury>(this);
  runtime.errands = this;
}

Errands::~Errands() {
  lists_->over.take(lists_->under_way);
  bury();
}

void Errands::bury() {
  while (Errand* errand = lists_->over.pop_front()) {
    std::unique_ptr<Errand> last(errand);
    --count_;
  }
}

Exchange* Errands::make(Exchange& like) {
  Errands* errands = like.runtime().errands;
  if (errands == nullptr || errands->count_ == most) return nullptr;
  Errand* errand = std::make_unique<Errand>(*errands, like.runtime(), like).release();
  errands->lists_->under_way.push_back(*errand);
  ++errands->count_;
  return &errand->exchange();
}

void Errands::go(Exchange& errand, Exchange& like) { errand.begin_behind(like); }

}  // namespace goma::http
