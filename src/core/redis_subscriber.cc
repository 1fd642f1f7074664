// SPDX-License-Identifier: Apache-2.0
//
// Subscribing, hearing, and noticing that nobody is there.
#include "core/redis_subscriber.h"

#include <algorithm>

#include "core/log.h"

namespace goma::core {

RedisSubscriber::RedisSubscriber(const RedisLink::Parts& parts) : parts_(parts) {
  ping_.bind<&RedisSubscriber::on_ping>(parts.loop, this);
  burial_.bind<&RedisSubscriber::bury>(this);
}

void RedisSubscriber::listen_at(const RedisAddress* address, const std::shared_ptr<const RedisSettings>& settings) {
  const bool same = link_ && address != nullptr && link_->address() == *address && settings_ == settings;
  if (same || (!link_ && address == nullptr)) return;
  if (link_) {
    dead_ = std::move(link_);
    parts_.loop.defer(burial_);
  }
  settings_ = settings;
  if (address == nullptr || !wanted()) return;
  link_ = std::make_unique<RedisLink>(parts_, static_cast<RedisLinkOwner&>(*this), settings, *address, RedisLink::Check::subscriber);
  link_->open();
}

void RedisSubscriber::add(std::string_view channel, RedisListener& listener) {
  listeners_.push_back({std::string(channel), &listener});
  if (link_ && link_->is_ready()) ask_for(channel);
}

void RedisSubscriber::remove(RedisListener& listener) { std::erase_if(listeners_, [&](const Listener& l) { return l.listener == &listener; }); }

void RedisSubscriber::ask_for(std::string_view channel) {
  std::string wire;
  begin_command(wire, 2);
  append_command(wire, "SUBSCRIBE");
  append_command(wire, settings_->key_prefix + std::string(channel));
  link_->say(wire);
}

void RedisSubscriber::on_link_changed(RedisLink& link) {
  if (&link != link_.get() || !link.is_ready()) return;
  unanswered_ = 0;
  ping_.start(ping_ms);
  for (const Listener& listener : listeners_) ask_for(listener.channel);
}

// Listeners may come and go while they are called.
void RedisSubscriber::on_link_push(RedisLink& link, const RedisReply& reply) {
  if (&link != link_.get()) return;
  unanswered_ = 0;
  if (reply.kind() == RedisReply::Kind::error) {
    if (refused_ != reply.text()) log::error("Redis refuses to be listened to: bans and purges of other hosts come late", {{"error", reply.text()}});
    refused_ = reply.text();
    return link.drop(refused_, RedisError::other);
  }
  const std::string_view kind = reply[0].text();
  if (kind == "subscribe") refused_.clear();
  std::string_view name = reply[1].text();
  if (name.starts_with(settings_->key_prefix)) name.remove_prefix(settings_->key_prefix.size());
  const std::string channel(name);
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].channel != channel) continue;
    if (kind == "message") listeners_[i].listener->on_message(channel, reply[2].text());
    if (kind == "subscribe") listeners_[i].listener->on_subscribed();
  }
}

void RedisSubscriber::on_ping() {
  if (!link_ || !link_->is_ready()) return;
  ping_.start(ping_ms);
  if (++unanswered_ > 2) return link_->drop("it does not answer a subscriber's PING", RedisError::silent);
  link_->say("*1\r\n$4\r\nPING\r\n");
}

}  // namespace goma::core
