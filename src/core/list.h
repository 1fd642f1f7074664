// SPDX-License-Identifier: Apache-2.0
//
// An intrusive doubly linked list: the hook lives in the element, so linking allocates nothing and an element that
// dies unlinks itself. A list does not own its elements.
#pragma once

#include "core/check.h"

namespace goma::core {

class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  // Leaves the list it is in; harmless when it is in none.
  void unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T, ListHook T::*Hook>
  friend class List;
  ListHook* next_ = nullptr;
  ListHook* previous_ = nullptr;
};

// A list of T linked through the member Hook: List<Connection, &Connection::idle_hook>.
template <class T, ListHook T::*Hook>
class List {
 public:
  List() { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (!empty()) pop_front();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T* front() { return empty() ? nullptr : owner(head_.next_); }
  T* back() { return empty() ? nullptr : owner(head_.previous_); }
  // The element after this one, or null at the end. Requires: element is in this list.
  T* next(T& element) {
    ListHook* hook = (element.*Hook).next_;
    return hook == &head_ ? nullptr : owner(hook);
  }
  // Requires: element is in no list through this hook.
  void push_back(T& element) { insert_before(head_, element.*Hook); }
  void push_front(T& element) { insert_before(*head_.next_, element.*Hook); }
  // Removes and returns the first element, or null.
  T* pop_front() {
    T* first = front();
    if (first != nullptr) (first->*Hook).unlink();
    return first;
  }
  // Moves all elements of another list to the end of this one.
  void take(List& other) {
    while (T* element = other.pop_front()) push_back(*element);
  }

 private:
  static void insert_before(ListHook& where, ListHook& hook) {
    GOMA_CHECK(!hook.linked());
    hook.next_ = &where;
    hook.previous_ = where.previous_;
    where.previous_->next_ = &hook;
    where.previous_ = &hook;
  }
  static T* owner(ListHook* hook) {
    const auto offset = reinterpret_cast<char*>(&(reinterpret_cast<T*>(4096)->*Hook)) - reinterpret_cast<char*>(4096);
    return reinterpret_cast<T*>(reinterpret_cast<char*>(hook) - offset);
  }

  ListHook head_;
};

}  // namespace goma::core
