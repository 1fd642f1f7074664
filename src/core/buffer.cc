// SPDX-License-Identifier: Apache-2.0
//
// Free lists of read blocks and pipes.
#include "core/buffer.h"

#include <fcntl.h>
#include <unistd.h>

namespace goma::core {

std::unique_ptr<char[]> BufferPool::take() {
  std::unique_ptr<char[]> block = free_.take();
  return block != nullptr ? std::move(block) : std::make_unique_for_overwrite<char[]>(block_size);
}

Pipe::~Pipe() {
  if (ends_[0] >= 0) ::close(ends_[0]);
  if (ends_[1] >= 0) ::close(ends_[1]);
}

bool Pipe::open() {
  if (::pipe2(ends_, O_NONBLOCK | O_CLOEXEC) != 0) return false;
  ::fcntl(ends_[1], F_SETPIPE_SZ, capacity);  // a smaller pipe is slower, not wrong
  return true;
}

std::unique_ptr<Pipe> PipePool::take() {
  if (std::unique_ptr<Pipe> kept = free_.take()) return kept;
  auto pipe = std::make_unique<Pipe>();
  return pipe->open() ? std::move(pipe) : nullptr;
}

void PipePool::give(std::unique_ptr<Pipe> pipe) {
  if (pipe->inside == 0) free_.give(std::move(pipe));
}

void Buffers::shrink() {
  blocks.shrink();
  pipes.shrink();
  sealed = std::string();
}

}  // namespace goma::core
