// SPDX-License-Identifier: Apache-2.0
//
// The intrusive list behaves like a std::list of pointers, whatever is done to it, and forgets elements that die.
#include "core/list.h"

#include <algorithm>
#include <list>
#include <memory>
#include <vector>

#include "check.h"

using goma::core::List;
using goma::core::ListHook;

namespace {

struct Item {
  explicit Item(int number = 0) : id(number) {}
  int id;
  ListHook hook;
  ListHook other;
};

using Items = List<Item, &Item::hook>;

std::vector<int> ids(Items& list) {
  std::vector<int> out;
  for (Item* item = list.front(); item != nullptr; item = list.next(*item)) out.push_back(item->id);
  return out;
}

void is_empty_at_first() {
  Items list;
  CHECK(list.empty());
  CHECK_EQ(list.front(), nullptr);
  CHECK_EQ(list.back(), nullptr);
  CHECK_EQ(list.pop_front(), nullptr);
}

void keeps_order() {
  Item a(1), b(2), c(3);
  Items list;
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  CHECK(ids(list) == std::vector<int>{1, 2, 3});
  CHECK_EQ(list.back()->id, 3);
}

void dying_element_leaves() {
  Item a(1);
  Items list;
  list.push_back(a);
  {
    Item b(2);
    list.push_back(b);
  }
  CHECK(ids(list) == std::vector<int>{1});
}

void dying_list_lets_go() {
  Item a;
  {
    Items list;
    list.push_back(a);
  }
  CHECK(!a.hook.linked());
}

void two_hooks_are_two_lists() {
  Item a(1);
  Items first;
  List<Item, &Item::other> second;
  first.push_back(a);
  second.push_back(a);
  first.pop_front();
  CHECK(!a.hook.linked());
  CHECK_EQ(second.front()->id, 1);
}

void take_empties_the_other() {
  Item a(1), b(2);
  Items left, right;
  left.push_back(a);
  right.push_back(b);
  left.take(right);
  CHECK(right.empty());
  CHECK(ids(left) == (std::vector<int>{1, 2}));
}

// One random operation on the list and on its model.
void step(Items& list, std::list<int>& model, std::vector<std::unique_ptr<Item>>& items, std::mt19937_64& random) {
  Item& item = *items[random() % items.size()];
  switch (random() % 4) {
    case 0:
      if (item.hook.linked()) return;
      list.push_back(item);
      model.push_back(item.id);
      return;
    case 1:
      if (item.hook.linked()) return;
      list.push_front(item);
      model.push_front(item.id);
      return;
    case 2:
      item.hook.unlink();
      model.remove(item.id);
      return;
    default:
      CHECK_EQ(list.pop_front() == nullptr, model.empty());
      if (!model.empty()) model.pop_front();
  }
}

void behaves_like_a_list() {
  std::mt19937_64 random(goma::test::seed());
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 12; ++i) items.push_back(std::make_unique<Item>(i));
  Items list;
  std::list<int> model;
  for (int i = 0; i < 20000; ++i) {
    step(list, model, items, random);
    const std::vector<int> now = ids(list);
    CHECK(std::equal(now.begin(), now.end(), model.begin(), model.end()));
  }
}

}  // namespace

GOMA_TESTS(is_empty_at_first, keeps_order, dying_element_leaves, dying_list_lets_go, two_hooks_are_two_lists,
           take_empties_the_other, behaves_like_a_list)
