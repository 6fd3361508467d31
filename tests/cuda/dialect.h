// CUDA's dialect for g++, for tests only: the .cu files run on the host, one thread of a block a fibre, so that barriers and
// warp instructions mean what they mean on a device. It shows logic, not races or speed.
//
// The convention between kernels, this header and who loads them:
//   * Text: `#define EDGEZERO_DIALECT` (done here), src/compute/cuda/device.cuh, then one or more .cu files, as for NVRTC.
//   * Build: g++ -std=c++17 -O2 -march=native -fPIC -shared -x c++ -DDIALECT_ARCH=870 -include tests/cuda/dialect.h text -o kernels.so
//     (DIALECT_ARCH: the compute capability times ten that kernels see as __CUDA_ARCH__; add -fsanitize=address as wished;
//     without -march=native on aarch64).
//   * Each `KERNEL(name)` line exports
//         extern "C" int dialect_launch_NAME(const unsigned grid[3], const unsigned block[3], size_t shared_bytes, void **args);
//     which runs the whole grid before it returns: 0, or 1 with the reason from `const char *dialect_error(void)` (of the
//     calling thread). `args` are pointers to the arguments, as for cuLaunchKernel. One launch at a time a library: others wait.
//     `int dialect_args_NAME(unsigned *sizes)` gives the bytes of each argument and their number (at most 64).
//   * `__constant__` and `__device__` variables are exported by their names (give them extern "C" to look them up).
//   * `dialect_order(k)` (or DIALECT_ORDER=k in the environment): in which order threads and blocks run. 0 forward, 1 backward,
//     else shuffled by that seed. Results must not depend on it; where they do, a barrier is missing.
//
// What is checked: barriers and warp instructions that some threads never reach (also: threads that left), lanes that run
// different warp instructions at once, alignment of vector and asynchronous copies. Dynamic shared memory begins as NaN bytes
// (0xff) in each block, and so does the target of an asynchronous copy until the wait that completes it.
#pragma once
#define EDGEZERO_DIALECT 1
#ifndef DIALECT_ARCH
#define DIALECT_ARCH 870
#endif
#define __CUDA_ARCH__ DIALECT_ARCH

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

// Saves the callee's registers and the stack of the running fibre in *save, goes on with the other.
extern "C" __attribute__((visibility("hidden"))) void dialect_switch(void **save, void *to);
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.globl dialect_switch
.hidden dialect_switch
.type dialect_switch, @function
dialect_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size dialect_switch, .-dialect_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
.globl dialect_switch
.hidden dialect_switch
.type dialect_switch, %function
dialect_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size dialect_switch, .-dialect_switch
)");
#else
#error "the dialect knows how to switch stacks on x86-64 and aarch64 only"
#endif

namespace dialect {

constexpr unsigned LANES = 32, THREADS_MAX = 1024;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK_BYTES = 512 << 10;
#else
constexpr size_t STACK_BYTES = 128 << 10;
#endif
constexpr size_t SHARED_BYTES_MAX = 227 << 10;

struct Copy {
    void *to;
    const void *from; // null: zeros
    unsigned group;
};

// What a lane brings to a warp instruction, and gets from it.
struct Lane {
    const char *what;
    unsigned mask;
    unsigned src;
    uint64_t value, result;
    const void *in[3];
    void *out;
};

struct Warp {
    unsigned existing, arrived, released;
    Lane lanes[LANES];
};

struct Fiber {
    void *sp, *stack;
    uint3 thread;
    unsigned idx, position;
    bool done;
    std::vector<Copy> copies;
    unsigned groups;
    void *fake_stack;
};

static std::mutex running;
static Fiber fibers[THREADS_MAX];
static Fiber *ring[THREADS_MAX];
static Fiber *current;
static Warp warps[THREADS_MAX / LANES];
static unsigned n_threads, n_done, n_idle, order;
static unsigned barrier_arrived, barrier_generation;
static int barrier_votes, barrier_result;
static uint3 block_idx, block_dim, grid_dim;
static void *main_sp, *main_fake_stack;
static const void *main_bottom;
static size_t main_bytes;
static const std::function<void()> *body;
static std::string failure;
static thread_local std::string last_error;
static char *dynamic_shared;

// ASan must know which stack is in use.
inline void switch_to(void **save, void *to, void **fake, const void *bottom, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake, bottom, bytes);
    dialect_switch(save, to);
    __sanitizer_finish_switch_fiber(fake ? *fake : nullptr, nullptr, nullptr);
#else
    (void)fake, (void)bottom, (void)bytes;
    dialect_switch(save, to);
#endif
}

[[noreturn]] inline void to_main(bool done) {
    void *dropped;
    switch_to(&current->sp, main_sp, done ? nullptr : &current->fake_stack, main_bottom, main_bytes);
    (void)dropped;
    std::abort();
}

[[noreturn]] inline void fail(const std::string &what) {
    const uint3 &t = current->thread;
    char at[160];
    std::snprintf(at, sizeof at, " (block %u,%u,%u thread %u,%u,%u)", block_idx.x, block_idx.y, block_idx.z, t.x, t.y, t.z);
    failure = what + at;
    to_main(false);
}

inline Fiber *next_alive() {
    unsigned at = current->position;
    do at = at + 1 == n_threads ? 0 : at + 1;
    while (ring[at]->done);
    return ring[at];
}

inline void go_on_with(Fiber *to) {
    Fiber *from = current;
    current = to;
    switch_to(&from->sp, to->sp, from->done ? nullptr : &from->fake_stack, to->stack, STACK_BYTES);
}

// Lets others run; `what` is waited for.
inline void wait(const char *what) {
    if (++n_idle > 2 * n_threads + 2) fail(std::string(what) + ": some threads never arrive");
    Fiber *next = next_alive();
    if (next != current) go_on_with(next);
}

inline void entry() {
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (n_idle == ~0u) main_bottom = bottom, main_bytes = bytes;
#endif
    n_idle = 0;
    (*body)();
    current->done = true;
    n_idle = 0;
    if (++n_done == n_threads) to_main(true);
    go_on_with(next_alive());
    std::abort();
}

inline void prepare(Fiber &f) {
    if (!f.stack) {
        f.stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f.stack == MAP_FAILED) std::abort();
    }
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(f.stack, STACK_BYTES);
#endif
    uint64_t *top = (uint64_t *)((char *)f.stack + STACK_BYTES);
#if defined(__x86_64__)
    // ret into entry with the stack as after a call: 8 below a multiple of 16.
    top -= 2;
    top[0] = (uint64_t)&entry;
    top[1] = 0;
    top -= 6;
    std::memset(top, 0, 48);
#else
    top -= 20;
    std::memset(top, 0, 160);
    top[11] = (uint64_t)&entry;
#endif
    f.sp = top;
    f.done = false;
    f.copies.clear();
    f.groups = 0;
    f.fake_stack = nullptr;
}

// 0, 1, .. n - 1 in the order that was asked for.
inline std::vector<unsigned> ordered(unsigned n, uint64_t salt) {
    std::vector<unsigned> all(n);
    for (unsigned i = 0; i < n; i++) all[i] = order == 1 ? n - 1 - i : i;
    uint64_t state = order * 0x9e3779b97f4a7c15u + salt;
    for (unsigned i = n; order > 1 && i > 1; i--) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::swap(all[i - 1], all[(state >> 33) % i]);
    }
    return all;
}

inline void run_block(uint64_t salt, size_t shared_bytes) {
    std::memset(dynamic_shared, 0xff, shared_bytes);
    std::memset(warps, 0, sizeof warps);
    n_done = 0, n_idle = ~0u, barrier_arrived = 0, barrier_votes = 0;
    std::vector<unsigned> way = ordered(n_threads, salt);
    for (unsigned i = 0; i < n_threads; i++) {
        Fiber &f = fibers[i];
        f.idx = i;
        f.thread = {i % block_dim.x, i / block_dim.x % block_dim.y, i / (block_dim.x * block_dim.y)};
        warps[i / LANES].existing |= 1u << i % LANES;
        prepare(f);
    }
    for (unsigned i = 0; i < n_threads; i++) ring[i] = &fibers[way[i]], ring[i]->position = i;
    current = ring[0];
    switch_to(&main_sp, current->sp, &main_fake_stack, current->stack, STACK_BYTES);
}

inline int launch(const char *name, const unsigned *grid, const unsigned *block, size_t shared_bytes, std::function<void()> call) {
    std::lock_guard<std::mutex> lock(running);
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2], blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    failure.clear();
    if (threads == 0 || threads > THREADS_MAX || blocks == 0 || blocks > 1u << 31 || grid[1] > 65535 || grid[2] > 65535)
        failure = "a launch of " + std::to_string(blocks) + " blocks of " + std::to_string(threads) + " threads";
    if (shared_bytes > SHARED_BYTES_MAX) failure = std::to_string(shared_bytes) + " bytes of shared memory a block";
    if (!dynamic_shared) dynamic_shared = (char *)std::aligned_alloc(128, SHARED_BYTES_MAX + 128);
    block_dim = {block[0], block[1], block[2]}, grid_dim = {grid[0], grid[1], grid[2]};
    n_threads = (unsigned)threads;
    body = &call;
    if (failure.empty()) {
#ifdef __SANITIZE_ADDRESS__
        __asan_unpoison_memory_region(dynamic_shared, SHARED_BYTES_MAX);
#endif
        std::memset(dynamic_shared, 0xff, SHARED_BYTES_MAX);
        for (unsigned b : ordered((unsigned)blocks, 7)) {
            block_idx = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
            run_block(b, shared_bytes);
            if (!failure.empty()) break;
        }
    }
    if (failure.empty()) return 0;
    last_error = std::string(name) + ": " + failure;
    return 1;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<std::remove_reference_t<A>> *)args[I]...);
}
template <class... A>
void call(void (*kernel)(A...), void **args) {
    call(kernel, args, std::index_sequence_for<A...>());
}

template <class... A>
int arg_sizes(void (*)(A...), unsigned *sizes) {
    unsigned all[] = {(unsigned)sizeof(A)..., 0};
    std::memcpy(sizes, all, sizeof...(A) * sizeof *sizes);
    return sizeof...(A);
}

inline int block_barrier(int vote, int (*join)(int, int), const char *what) {
    if (n_done) fail(std::string(what) + ": a thread left before");
    unsigned generation = barrier_generation;
    barrier_votes = barrier_arrived ? join(barrier_votes, vote) : vote;
    if (++barrier_arrived == n_threads) {
        barrier_arrived = 0, barrier_generation++, n_idle = 0;
        barrier_result = barrier_votes;
    } else {
        while (barrier_generation == generation) wait(what);
    }
    return barrier_result;
}

inline unsigned lane_id() { return current->idx % LANES; }
inline Lane &lane() { return warps[current->idx / LANES].lanes[lane_id()]; }

// All lanes of the mask meet; the last computes for all.
template <class F>
void together(const char *what, unsigned mask, F compute) {
    Warp &w = warps[current->idx / LANES];
    unsigned bit = 1u << lane_id();
    mask &= w.existing;
    if (!(mask & bit)) fail(std::string(what) + ": the lane is not in its own mask");
    lane().what = what, lane().mask = mask;
    w.arrived |= bit;
    if ((w.arrived & mask) != mask) {
        while (!(w.released & bit)) wait(what);
        w.released &= ~bit;
        return;
    }
    for (unsigned l = 0; l < LANES; l++)
        if (mask >> l & 1 && (w.lanes[l].mask != mask || std::strcmp(w.lanes[l].what, what)))
            fail(std::string(what) + ": another lane runs " + w.lanes[l].what + " or has another mask");
    compute(w);
    w.arrived &= ~mask;
    w.released |= mask & ~bit;
    n_idle = 0;
}

template <class T>
T shuffle(const char *what, unsigned mask, T value, unsigned src) {
    static_assert(sizeof(T) <= 8, "a shuffle moves one register or two");
    lane().value = 0;
    std::memcpy(&lane().value, &value, sizeof value);
    lane().src = src;
    together(what, mask, [&](Warp &w) {
        for (Lane &l : w.lanes) l.result = w.lanes[l.src % LANES].value;
    });
    std::memcpy(&value, &lane().result, sizeof value);
    return value;
}

inline unsigned ballot(unsigned mask, bool on) {
    lane().value = on;
    together("vote", mask, [&](Warp &w) {
        unsigned all = 0;
        for (unsigned l = 0; l < LANES; l++) all |= (mask >> l & w.existing >> l & w.lanes[l].value & 1) << l;
        for (Lane &l : w.lanes) l.result = all;
    });
    return (unsigned)lane().result;
}

inline void check_aligned(const void *p, size_t bytes, const char *what) {
    if ((uintptr_t)p % bytes) fail(std::string(what) + ": an address is not aligned to " + std::to_string(bytes) + " bytes");
}

} // namespace dialect

#define DIALECT_EXPORT extern "C" __attribute__((visibility("default")))
DIALECT_EXPORT inline const char *dialect_error(void) { return dialect::last_error.c_str(); }
DIALECT_EXPORT inline void dialect_order(unsigned k) { dialect::order = k; }
// Kept in every library although nothing here calls them.
static const void *dialect_kept[] __attribute__((used)) = {(const void *)&dialect_error, (const void *)&dialect_order};
static const int dialect_order_set = [] {
    const char *k = std::getenv("DIALECT_ORDER");
    return dialect::order = k ? (unsigned)std::atoi(k) : 0, 0;
}();

#define KERNEL(name)                                                                                                        \
    DIALECT_EXPORT int dialect_launch_##name(const unsigned *grid, const unsigned *block, size_t shared_bytes, void **args) { \
        return dialect::launch(#name, grid, block, shared_bytes, [args] { dialect::call(&name, args); });                   \
    }                                                                                                                       \
    DIALECT_EXPORT int dialect_args_##name(unsigned *sizes) { return dialect::arg_sizes(&name, sizes); }

#include "dialect_names.h"
