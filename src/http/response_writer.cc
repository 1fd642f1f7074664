// SPDX-License-Identifier: Apache-2.0
//
// Copy, hand on, publish.
#include "http/response_writer.h"

namespace goma::http {

void ResponseWriter::write(std::string_view data, bool last) {
  if (draft_ && !data.empty()) {
    const bool fits = draft_.body_size() + data.size() <= plan_.most_bytes;
    if (!fits || !draft_.append(data)) give_up();
  }
  if (last && draft_) publish();
  pass(data, last);
}

// The next ones would find as little room: they need not wait for each other.
void ResponseWriter::give_up() {
  draft_ = core::CacheZone::Draft();
  store_.count("too-large");
  store_.pass_large(plan_.place.key);
  lease_.end();
}

void ResponseWriter::publish() {
  const Body& body = x_.response().body;
  const bool whole = body.framing != Framing::length || body.length == draft_.body_size();
  const bool stored = whole && store_.publish(x_, draft_, plan_.question, plan_.place, *plan_.names, plan_.asked_ms, encode_stored(x_.arena(), plan_.facts, *plan_.fields, plan_.tags));
  draft_ = core::CacheZone::Draft();
  if (stored && !plan_.shared_name.empty()) {
    const StorePlace place = store_.find(x_, plan_.question);
    if (place.response != nullptr) SharedStore::put(x_, plan_.shared_name, plan_.question, *place.response, *plan_.names, plan_.most_shared_bytes);
  }
  lease_.end();
}

}  // namespace goma::http
