// A look-alike of libcuda.so.1 in host memory, for tests only. Kernels are shared objects that g++ makes through dialect.h.
//
// The environment is read whenever it matters, so a test may change it between calls:
//   LOOKALIKE_DEVICES      GPUs, 1 by default; 0: cuInit says that there is none
//   LOOKALIKE_CAPABILITY   compute capability, 87 by default
//   LOOKALIKE_MEMORY       bytes of each GPU, 4 GiB by default
//   LOOKALIKE_DEFER=1      nothing in a stream happens before somebody waits for it
//   LOOKALIKE_REFUSE=NAME  launches of this kernel fail at once (CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
//   LOOKALIKE_OVERFLOW=N   the N-th launch of kernel `squares` meets a gradient that begins with an infinite number
//   LOOKALIKE_BREAK=NAME   this kernel breaks while it runs; from then on every call fails (CUDA_ERROR_ILLEGAL_ADDRESS)
//   LOOKALIKE_TELL=1       at the end, how many kernels each GPU ran
// -DCLAIMED=10020 (11040, 12060, ..) says which version the library claims and leaves out what came later; -DWITHOUT_FILL
// leaves out cuMemsetD32Async.
//
// Memory is poisoned (0xff), ends at a page that faults, and is unmapped when it is freed. `lookalike_live` counts what was
// not given back, `lookalike_launches` kernels that ran, `lookalike_graphs` graphs that were launched.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <elf.h>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#endif

#ifndef CLAIMED
#define CLAIMED 12060
#endif
#define API extern "C" __attribute__((visibility("default")))

typedef int CUresult;
typedef uint64_t Address;
enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901
};

static std::recursive_mutex everything;
#define LOCK std::lock_guard<std::recursive_mutex> lock(everything)

static long number(const char *name, long usual) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : usual;
}
static bool names(const char *variable, const std::string &name) {
    const char *text = getenv(variable);
    return text && name == text;
}

struct Context {
    int device;
    size_t used = 0;
    int retained = 0;
    uint64_t launches = 0;
};
struct Block {
    Context *context;
    char *map;
    size_t map_bytes, bytes;
};
typedef std::function<int()> Work;
struct Graph {
    std::vector<Work> work;
};
struct Stream {
    Context *context;
    std::deque<Work> queue;
    uint64_t queued = 0, done = 0;
    Graph *capturing = nullptr;
    bool broken = false;
};
struct Event {
    Context *context;
    Stream *stream = nullptr;
    uint64_t ticket = 0;
    double ms = 0;
};
struct Module {
    Context *context;
    void *library;
};
struct Function {
    Module *module;
    std::string name;
    int (*launch)(const unsigned *, const unsigned *, size_t, void **);
    std::vector<unsigned> sizes;
    size_t shared_max = 48 << 10;
};

static bool started;
static int sticky; // what broke the context
static std::map<int, Context> contexts;
static std::map<Address, Block> blocks;
static std::map<char *, size_t> pinned;
static std::set<void *> live; // streams, events, modules, graphs, executables
static std::map<std::pair<Module *, std::string>, Function> functions;
static thread_local Context *current;
static thread_local Stream *captured_here;
static uint64_t n_launches, n_graphs, n_squares;

#define ENTER                                                   \
    LOCK;                                                       \
    if (!started) return NOT_INITIALIZED;                       \
    if (sticky) return sticky;
#define ENTER_CONTEXT ENTER if (!current) return INVALID_CONTEXT;

// Calls that may wait must not be made while a stream is captured.
static bool unsafe_in_capture() {
    if (!captured_here) return false;
    captured_here->broken = true;
    return true;
}

static int run_until(Stream *stream, uint64_t ticket) {
    while (stream->done < ticket && !sticky) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->done++;
        if (int code = work()) sticky = code;
    }
    return sticky;
}

static int put(Stream *stream, Work work) {
    if (!live.count(stream) || stream->context != current) return INVALID_HANDLE;
    if (stream->capturing) {
        stream->capturing->work.push_back(std::move(work));
        return SUCCESS;
    }
    stream->queue.push_back(std::move(work));
    stream->queued++;
    return number("LOOKALIKE_DEFER", 0) ? SUCCESS : run_until(stream, stream->queued);
}

static bool inside(Address at, size_t bytes) {
    auto next = blocks.upper_bound(at);
    if (next == blocks.begin()) return false;
    auto [start, block] = *std::prev(next);
    return at + bytes <= start + block.bytes && block.context == current;
}
static bool is_pinned(const void *at, size_t bytes) {
    auto next = pinned.upper_bound((char *)at);
    if (next == pinned.begin()) return false;
    auto [start, size] = *std::prev(next);
    return (char *)at + bytes <= start + size;
}

// ---- the driver and its devices
API CUresult cuInit(unsigned) {
    LOCK;
    if (number("LOOKALIKE_DEVICES", 1) == 0) return NO_DEVICE;
    started = true;
    return SUCCESS;
}
API CUresult cuDriverGetVersion(int *version) { return *version = CLAIMED, SUCCESS; }
API CUresult cuGetErrorName(CUresult code, const char **text) {
    static const std::map<int, const char *> all = {
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"}, {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}, {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    auto found = all.find(code);
    *text = found == all.end() ? nullptr : found->second;
    return *text ? SUCCESS : INVALID_VALUE;
}
API CUresult cuGetErrorString(CUresult code, const char **text) {
    return *text = code == OUT_OF_MEMORY ? "out of memory" : code == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "as the look-alike has it", SUCCESS;
}
API CUresult cuDeviceGetCount(int *n) {
    ENTER;
    return *n = (int)number("LOOKALIKE_DEVICES", 1), SUCCESS;
}
API CUresult cuDeviceGet(int *device, int ordinal) {
    ENTER;
    return ordinal < number("LOOKALIKE_DEVICES", 1) ? *device = ordinal, SUCCESS : INVALID_DEVICE;
}
API CUresult cuDeviceGetName(char *name, int bytes, int device) {
    return snprintf(name, bytes, "Lookalike %d", device), SUCCESS;
}
API CUresult cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = number("LOOKALIKE_MEMORY", 4l << 30), SUCCESS; }
API CUresult cuDeviceGetAttribute(int *value, int attribute, int) {
    long capability = number("LOOKALIKE_CAPABILITY", 87);
    const std::map<int, long> all = {{75, capability / 10}, {76, capability % 10}, {16, 4}, {13, 900000}, {36, 3200000}, {37, 128},
                                     {38, 2 << 20}, {8, 48 << 10}, {97, 100 << 10}, {18, 1}};
    auto found = all.find(attribute);
    return found == all.end() ? INVALID_VALUE : (*value = (int)found->second, SUCCESS);
}

// ---- contexts
API CUresult cuDevicePrimaryCtxRetain(Context **context, int device) {
    ENTER;
    *context = &contexts[device];
    (*context)->device = device;
    (*context)->retained++;
    return SUCCESS;
}
static CUresult release(int device) {
    LOCK;
    return contexts[device].retained-- > 0 ? SUCCESS : INVALID_CONTEXT;
}
#if CLAIMED >= 11000
API CUresult cuDevicePrimaryCtxRelease_v2(int device) { return release(device); }
#endif
API CUresult cuDevicePrimaryCtxRelease(int device) { return release(device); }
API CUresult cuCtxSetCurrent(Context *context) { return current = context, SUCCESS; }
static std::set<Stream *> streams;
API CUresult cuCtxSynchronize() {
    ENTER_CONTEXT;
    for (Stream *stream : streams) run_until(stream, stream->queued);
    return sticky;
}
API CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
    LOCK;
    if (!current) return INVALID_CONTEXT;
    *total = number("LOOKALIKE_MEMORY", 4l << 30);
    *free = *total > current->used ? *total - current->used : 0;
    return SUCCESS;
}

// ---- memory
API CUresult cuMemAlloc_v2(Address *address, size_t bytes) {
    ENTER_CONTEXT;
    if (unsafe_in_capture()) return CAPTURE_UNSUPPORTED;
    if (bytes == 0) return INVALID_VALUE;
    if (current->used + bytes > (size_t)number("LOOKALIKE_MEMORY", 4l << 30)) return OUT_OF_MEMORY;
    const size_t page = 4096, inner = (bytes + page - 1) / page * page;
    char *map = (char *)mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, inner, PROT_READ | PROT_WRITE)) return OUT_OF_MEMORY;
    memset(map + page, 0xff, inner);
    // as near to the page that faults as the alignment of real allocations allows
    *address = (Address)(map + page + (inner - bytes) / 256 * 256);
    ASAN_POISON_MEMORY_REGION(map, inner + 2 * page);
    ASAN_UNPOISON_MEMORY_REGION((char *)*address, bytes);
    blocks[*address] = {current, map, inner + 2 * page, bytes};
    current->used += bytes;
    return SUCCESS;
}
API CUresult cuMemFree_v2(Address address) {
    ENTER_CONTEXT;
    if (unsafe_in_capture()) return CAPTURE_UNSUPPORTED;
    auto found = blocks.find(address);
    if (found == blocks.end() || found->second.context != current) return INVALID_VALUE;
    for (Stream *stream : streams) run_until(stream, stream->queued);
    Block block = found->second;
    const size_t page = 4096;
    ASAN_UNPOISON_MEMORY_REGION(block.map, block.map_bytes);
    for (char *at = block.map + page; at < block.map + block.map_bytes - page; at++)
        if (((Address)at < address || (Address)at >= address + block.bytes) && *at != '\xff') {
            fprintf(stderr, "lookalike: byte %ld of a buffer of %zu was written\n", (long)((Address)at - address), block.bytes);
            abort();
        }
    munmap(block.map, block.map_bytes);
    current->used -= block.bytes;
    blocks.erase(found);
    return SUCCESS;
}
API CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned) {
    ENTER_CONTEXT;
    if (unsafe_in_capture()) return CAPTURE_UNSUPPORTED;
    *at = malloc(bytes);
    memset(*at, 0xff, bytes);
    pinned[(char *)*at] = bytes;
    return SUCCESS;
}
API CUresult cuMemFreeHost(void *at) {
    ENTER_CONTEXT;
    if (!pinned.erase((char *)at)) return INVALID_VALUE;
    for (Stream *stream : streams) run_until(stream, stream->queued);
    free(at);
    return SUCCESS;
}
API CUresult cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT;
    if (!inside(to, bytes)) return INVALID_VALUE;
    if (is_pinned(from, bytes)) return put(stream, [=] { return memcpy((void *)to, from, bytes), 0; });
    std::string kept((const char *)from, bytes);
    return put(stream, [=] { return memcpy((void *)to, kept.data(), bytes), 0; });
}
API CUresult cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT;
    if (!inside(from, bytes)) return INVALID_VALUE;
    int code = put(stream, [=] { return memcpy(to, (void *)from, bytes), 0; });
    // to memory that is not page-locked the driver copies before it returns
    return code || stream->capturing || is_pinned(to, bytes) ? code : run_until(stream, stream->queued);
}
API CUresult cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT;
    if (!inside(from, bytes) || !inside(to, bytes)) return INVALID_VALUE;
    return put(stream, [=] { return memcpy((void *)to, (void *)from, bytes), 0; });
}
#ifndef WITHOUT_FILL
API CUresult cuMemsetD32Async(Address to, unsigned word, size_t n, Stream *stream) {
    ENTER_CONTEXT;
    if (!inside(to, 4 * n) || to % 4) return INVALID_VALUE;
    return put(stream, [=] { for (size_t i = 0; i < n; i++) ((unsigned *)to)[i] = word; return 0; });
}
#endif

// ---- streams and events
API CUresult cuStreamCreate(Stream **stream, unsigned) {
    ENTER_CONTEXT;
    *stream = new Stream{current};
    live.insert(*stream);
    streams.insert(*stream);
    return SUCCESS;
}
API CUresult cuStreamDestroy_v2(Stream *stream) {
    LOCK;
    if (!live.erase(stream)) return INVALID_HANDLE;
    run_until(stream, stream->queued);
    streams.erase(stream);
    delete stream;
    return SUCCESS;
}
API CUresult cuStreamSynchronize(Stream *stream) {
    ENTER_CONTEXT;
    if (unsafe_in_capture()) return CAPTURE_UNSUPPORTED;
    return live.count(stream) ? run_until(stream, stream->queued) : INVALID_HANDLE;
}
API CUresult cuStreamQuery(Stream *stream) {
    ENTER_CONTEXT;
    return stream->done == stream->queued ? SUCCESS : NOT_READY;
}
API CUresult cuEventCreate(Event **event, unsigned) {
    ENTER_CONTEXT;
    live.insert(*event = new Event{current});
    return SUCCESS;
}
API CUresult cuEventDestroy_v2(Event *event) {
    LOCK;
    if (!live.erase(event)) return INVALID_HANDLE;
    delete event;
    return SUCCESS;
}
API CUresult cuEventRecord(Event *event, Stream *stream) {
    ENTER_CONTEXT;
    if (!live.count(event) || !live.count(stream) || stream->capturing) return INVALID_HANDLE;
    int code = put(stream, [=] {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        event->ms = now.tv_sec * 1e3 + now.tv_nsec / 1e6;
        return 0;
    });
    event->stream = stream;
    event->ticket = stream->queued;
    return code;
}
API CUresult cuEventQuery(Event *event) {
    ENTER_CONTEXT;
    return !event->stream || event->stream->done >= event->ticket ? SUCCESS : NOT_READY;
}
API CUresult cuEventSynchronize(Event *event) {
    ENTER_CONTEXT;
    if (unsafe_in_capture()) return CAPTURE_UNSUPPORTED;
    return event->stream ? run_until(event->stream, event->ticket) : SUCCESS;
}
API CUresult cuEventElapsedTime(float *ms, Event *from, Event *to) {
    ENTER_CONTEXT;
    if (!from->stream || !to->stream || to->stream->done < to->ticket) return NOT_READY;
    return *ms = (float)(to->ms - from->ms), SUCCESS;
}
API CUresult cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    ENTER_CONTEXT;
    Stream *other = event->stream;
    uint64_t ticket = event->ticket;
    return other ? put(stream, [=] { return run_until(other, ticket); }) : SUCCESS;
}

// ---- graphs
API CUresult cuStreamBeginCapture_v2(Stream *stream, int) {
    ENTER_CONTEXT;
    if (!live.count(stream) || stream->capturing) return INVALID_HANDLE;
    stream->capturing = new Graph;
    stream->broken = false;
    captured_here = stream;
    return SUCCESS;
}
API CUresult cuStreamEndCapture(Stream *stream, Graph **graph) {
    ENTER_CONTEXT;
    if (!stream->capturing) return INVALID_VALUE;
    *graph = stream->capturing;
    stream->capturing = nullptr;
    captured_here = nullptr;
    if (stream->broken) return delete *graph, *graph = nullptr, CAPTURE_INVALIDATED;
    live.insert(*graph);
    return SUCCESS;
}
API CUresult cuStreamIsCapturing(Stream *stream, int *status) { return *status = stream->capturing != nullptr, SUCCESS; }
static CUresult instantiate(Graph **exec, Graph *graph) {
    ENTER_CONTEXT;
    if (!live.count(graph)) return INVALID_VALUE;
    live.insert(*exec = new Graph(*graph));
    return SUCCESS;
}
#if CLAIMED >= 11040
API CUresult cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long) { return instantiate(exec, graph); }
#else
API CUresult cuGraphInstantiate(Graph **exec, Graph *graph, void **, char *, size_t) { return instantiate(exec, graph); }
#endif
API CUresult cuGraphLaunch(Graph *exec, Stream *stream) {
    ENTER_CONTEXT;
    if (!live.count(exec)) return INVALID_HANDLE;
    n_graphs++;
    for (const Work &work : exec->work)
        if (int code = put(stream, work)) return code;
    return SUCCESS;
}
static CUresult forget(Graph *graph) {
    LOCK;
    if (!live.erase(graph)) return INVALID_VALUE;
    delete graph;
    return SUCCESS;
}
API CUresult cuGraphDestroy(Graph *graph) { return forget(graph); }
API CUresult cuGraphExecDestroy(Graph *exec) { return forget(exec); }

// ---- modules and kernels
API CUresult cuModuleLoadData(Module **module, const void *image) {
    ENTER_CONTEXT;
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)image;
    if (memcmp(head->e_ident, ELFMAG, SELFMAG)) return INVALID_IMAGE;
    size_t bytes = head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
    int file = memfd_create("kernels", 0);
    if (file < 0 || write(file, image, bytes) != (ssize_t)bytes) return OUT_OF_MEMORY;
    std::string path = "/proc/self/fd/" + std::to_string(file);
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    // the file stays open: another of the same number would be taken for this one
    if (!library) return fprintf(stderr, "lookalike: %s\n", dlerror()), INVALID_IMAGE;
    live.insert(*module = new Module{current, library});
    return SUCCESS;
}
API CUresult cuModuleUnload(Module *module) {
    LOCK;
    if (!live.erase(module)) return INVALID_VALUE;
    delete module;
    return SUCCESS;
}
API CUresult cuModuleGetFunction(Function **function, Module *module, const char *name) {
    ENTER_CONTEXT;
    auto *launch = (int (*)(const unsigned *, const unsigned *, size_t, void **))dlsym(module->library, (std::string("dialect_launch_") + name).c_str());
    auto *args = (int (*)(unsigned *))dlsym(module->library, (std::string("dialect_args_") + name).c_str());
    if (!launch || !args) return NOT_FOUND;
    unsigned sizes[64];
    int n = args(sizes);
    *function = &(functions[{module, name}] = Function{module, name, launch, std::vector<unsigned>(sizes, sizes + n)});
    return SUCCESS;
}
API CUresult cuFuncGetAttribute(int *value, int, Function *) { return *value = 0, SUCCESS; }
API CUresult cuFuncSetAttribute(Function *function, int attribute, int value) {
    ENTER_CONTEXT;
    if (attribute == 8) function->shared_max = value;
    return value <= 100 << 10 ? SUCCESS : INVALID_VALUE;
}
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, Function *, int, size_t) { return *n = 1, SUCCESS; }
API CUresult cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                            Stream *stream, void **params, void **) {
    ENTER_CONTEXT;
    if (f->module->context != current) return INVALID_HANDLE;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz == 0 || bx * by * bz > 1024 || shared > f->shared_max) return INVALID_VALUE;
    if (names("LOOKALIKE_REFUSE", f->name)) return OUT_OF_RESOURCES;
    std::vector<uint64_t> args(f->sizes.size());
    for (size_t i = 0; i < args.size(); i++) {
        if (f->sizes[i] > 8) return fprintf(stderr, "lookalike: %s has a large argument\n", f->name.c_str()), INVALID_VALUE;
        memcpy(&args[i], params[i], f->sizes[i]);
    }
    return put(stream, [=]() mutable {
        if (names("LOOKALIKE_BREAK", f->name)) return (int)ILLEGAL_ADDRESS;
        unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        void *slots[64];
        for (size_t i = 0; i < args.size(); i++) slots[i] = &args[i];
        n_launches++;
        f->module->context->launches++;
        if (f->name == "squares" && ++n_squares == (uint64_t)number("LOOKALIKE_OVERFLOW", 0)) *(float *)args[1] = INFINITY;
        if (f->launch(grid, block, shared, slots) == 0) return 0;
        auto *why = (const char *(*)())dlsym(f->module->library, "dialect_error");
        fprintf(stderr, "lookalike: %s\n", why ? why() : f->name.c_str());
        return (int)ILLEGAL_ADDRESS;
    });
}

// ---- for the tests
__attribute__((destructor)) static void tell() {
    if (!number("LOOKALIKE_TELL", 0)) return;
    for (auto &each : contexts) fprintf(stderr, "lookalike: kernels on GPU %d: %lu\n", each.first, (unsigned long)each.second.launches);
}
API long lookalike_live() {
    LOCK;
    long n = (long)(live.size() + blocks.size() + pinned.size());
    for (auto &each : contexts) n += each.second.retained;
    return n;
}
API long lookalike_launches() { return (long)n_launches; }
API long lookalike_graphs() { return (long)n_graphs; }
