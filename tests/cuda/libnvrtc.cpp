// A look-alike of libnvrtc, for tests only: its "cubin" is the shared object that g++ makes of the kernels through dialect.h.
// -DDIALECT="path" names that header, -DCLAIMED=10020 leaves out what came after CUDA 10.2. LOOKALIKE_CXX is the compiler, g++ by default,
// and LOOKALIKE_FLAGS are more flags for it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unistd.h>

#ifndef CLAIMED
#define CLAIMED 12060
#endif
#define API extern "C" __attribute__((visibility("default")))

struct Program {
    std::string source, log, image;
};
enum { SUCCESS = 0, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

static std::string content(const std::string &path) {
    std::string all;
    FILE *file = fopen(path.c_str(), "rb");
    if (!file) return all;
    char part[1 << 16];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) all.append(part, n);
    fclose(file);
    return all;
}

static std::string text(const char *variable, const char *usual) {
    const char *found = getenv(variable);
    return found && *found ? found : usual;
}

API int nvrtcVersion(int *major, int *minor) { return *major = CLAIMED / 1000, *minor = CLAIMED % 1000 / 10, SUCCESS; }
API const char *nvrtcGetErrorString(int code) { return code == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }
API int nvrtcCreateProgram(Program **program, const char *source, const char *, int n_headers, const char *const *, const char *const *) {
    return n_headers ? INVALID_PROGRAM : (*program = new Program{source}, SUCCESS);
}
API int nvrtcDestroyProgram(Program **program) { return delete *program, *program = nullptr, SUCCESS; }
API int nvrtcCompileProgram(Program *program, int n, const char *const *options) {
    int arch = 0;
    for (int i = 0; i < n; i++) {
        std::string option = options[i];
        const std::string key = "--gpu-architecture=";
        if (option.compare(0, key.size(), key) == 0) arch = atoi(option.c_str() + option.find('_') + 1);
        else if (option.compare(0, 2, "--")) return program->log = option + ": no option", INVALID_OPTION;
    }
    if (!arch) return program->log = "no architecture", INVALID_OPTION;
    std::string base = text("TMPDIR", "/tmp") + "/lookalike-XXXXXX";
    if (!mkdtemp(&base[0])) return program->log = base + ": no folder can be made", COMPILATION;
    std::string source = base + "/kernels.cu", made = base + "/kernels.so", said = base + "/log";
    FILE *file = fopen(source.c_str(), "wb");
    fwrite(program->source.data(), 1, program->source.size(), file);
    fclose(file);
    // the compiler is a program of this machine: nothing is loaded into it for the sake of this one
    std::string command = "env -u LD_PRELOAD -u LD_LIBRARY_PATH " + text("LOOKALIKE_CXX", "g++") + " -std=c++17 -O2 -fPIC -shared -x c++ -DDIALECT_ARCH=" + std::to_string(arch * 10) + " -include '" DIALECT "' " +
                          text("LOOKALIKE_FLAGS", "") + " '" + source + "' -o '" + made + "' 2> '" + said + "'";
    int failed = system(command.c_str());
    program->log = content(said);
    program->image = content(made);
    for (const std::string &path : {source, made, said}) unlink(path.c_str());
    rmdir(base.c_str());
    return failed ? COMPILATION : SUCCESS;
}
API int nvrtcGetProgramLogSize(Program *program, size_t *bytes) { return *bytes = program->log.size() + 1, SUCCESS; }
API int nvrtcGetProgramLog(Program *program, char *to) { return memcpy(to, program->log.c_str(), program->log.size() + 1), SUCCESS; }
API int nvrtcGetPTXSize(Program *program, size_t *bytes) { return *bytes = program->image.size(), SUCCESS; }
API int nvrtcGetPTX(Program *program, char *to) { return memcpy(to, program->image.data(), program->image.size()), SUCCESS; }
#if CLAIMED >= 11010
API int nvrtcGetCUBINSize(Program *program, size_t *bytes) { return nvrtcGetPTXSize(program, bytes); }
API int nvrtcGetCUBIN(Program *program, char *to) { return nvrtcGetPTX(program, to); }
#endif
