// SPDX-License-Identifier: Apache-2.0
//
// A list that is looked through once a second. An answer finds its entry by the certificate, because a reload may have
// come between.
#include "core/stapler.h"

#include <algorithm>
#include <ctime>
#include <memory>

#include "core/log.h"
#include "core/ocsp_fetch.h"

namespace goma::core {

namespace {

constexpr const char* fetches = "goma_ocsp_fetches_total";

}  // namespace

Stapler::Stapler(Context& context) : loop_(*context.loop), helper_(*context.loop), metrics_(*context.metrics) {
  metrics_.describe(fetches, Metrics::Kind::counter, "OCSP responses that were asked for, by result.");
  fetched_ = metrics_.counter(fetches, "result=\"ok\"");
  failed_ = metrics_.counter(fetches, "result=\"failed\"");
  Result<Staples> opened = Staples::open(*context.slab);
  if (opened) {
    staples_.emplace(std::move(opened).value());
  } else {
    log::error("no OCSP responses are fetched", {{"error", opened.error().text}});
  }
  second_.bind<&Stapler::on_second>(loop_, this);
}

int64_t Stapler::pause_after(const OcspAnswer& answer, int64_t now) {
  const int64_t half = answer.from + (answer.staple.until - answer.from) / 2;
  return std::clamp(half - now, min_pause_s, max_pause_s);
}

int64_t Stapler::pause_after_failures(int failures) { return std::min(min_pause_s << std::clamp(failures - 1, 0, 6), max_back_off_s); }

void Stapler::configure(std::vector<OcspQuestion> questions) {
  if (!staples_) return;
  std::map<std::string, Entry> next;
  for (OcspQuestion& question : questions) {
    const auto known = entries_.find(question.fingerprint);
    Entry& entry = next[question.fingerprint];
    if (known != entries_.end()) entry = known->second;
    entry.question = std::move(question);
  }
  entries_ = std::move(next);
  if (entries_.empty()) return second_.stop();
  second_.start(0);
}

void Stapler::on_second() {
  for (auto& [fingerprint, entry] : entries_) {
    if (!entry.asking && entry.due_ms <= loop_.now_ms()) ask(entry);
  }
  second_.start(1000);
}

void Stapler::ask(Entry& entry) {
  entry.asking = true;
  const auto answer = std::make_shared<Result<OcspAnswer>>(Error{Code::internal, "not asked", 0});
  helper_.run([answer, question = entry.question] { *answer = fetch_ocsp(question); },
              [this, answer, fingerprint = entry.question.fingerprint] { told(fingerprint, *answer); });
}

void Stapler::told(const std::string& fingerprint, const Result<OcspAnswer>& answer) {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return;  // not served any more
  Entry& entry = found->second;
  entry.asking = false;
  if (!answer) return note_failure(entry, answer.error());
  const OcspAnswer& word = answer.value();
  const int64_t now = std::time(nullptr);
  if (const Result<void> kept = staples_->put(fingerprint, word.staple, now); !kept) return note_failure(entry, kept.error());
  metrics_.add(fetched_);
  if (entry.failures > 0) log::warn("an OCSP response was fetched again", {{"certificate", entry.question.name}, {"failures", entry.failures}});
  if (word.revoked) log::error("a certificate is revoked", {{"certificate", entry.question.name}, {"responder", entry.question.responder}});
  entry.failures = 0;
  const int64_t pause = pause_after(word, now);
  log::info("fetched an OCSP response", {{"certificate", entry.question.name}, {"bytes", word.staple.der.size()}, {"next_s", pause}});
  entry.due_ms = loop_.now_ms() + pause * 1000;
}

void Stapler::note_failure(Entry& entry, const Error& error) {
  metrics_.add(failed_);
  const int64_t pause = pause_after_failures(++entry.failures);
  entry.due_ms = loop_.now_ms() + pause * 1000;
  log::error("cannot fetch an OCSP response",
             {{"certificate", entry.question.name}, {"responder", entry.question.responder}, {"error", error.text}, {"next_s", pause}});
}

}  // namespace goma::core
