/* Looks like NVIDIA's management library. NVML_WORLD: `two` cards, an `orin` that tells only its load, or a `dead` driver; else
   one card. With -DOLD some functions are missing. Numbers are those of nvml.h. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9 };
typedef struct { int number; } *Handle;
static struct { int number; } cards[2] = {{0}, {1}};

static int world(const char *name) {
    const char *said = getenv("NVML_WORLD");
    return said && !strcmp(said, name);
}

static int tells(void) { return world("orin") ? NOT_SUPPORTED : SUCCESS; }

int nvmlInit_v2(void) { return world("dead") ? DRIVER_NOT_LOADED : SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *n) {
    *n = world("two") ? 2 : 1;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle *card) {
    *card = (Handle)&cards[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *place, Handle *card) {
    int is_second = world("two") && !strcmp(place, "00000001:5e:00.0");
    if (world("orin") || (strcmp(place, "00000000:3b:00.0") && !is_second)) return NOT_FOUND;
    *card = (Handle)&cards[is_second];
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Handle card, unsigned rates[2]) {
    rates[0] = card->number ? 51 : 97;
    rates[1] = 40;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(Handle card, unsigned kind, unsigned *mhz) {
    *mhz = kind == 1 ? 1755 : 9501;
    return tells();
}

int nvmlDeviceGetMemoryInfo(Handle card, unsigned long long bytes[3]) {
    bytes[0] = 12288ull << 20;
    bytes[2] = (card->number ? 100ull : 1234ull) << 20;
    bytes[1] = bytes[0] - bytes[2];
    return tells();
}

int nvmlDeviceGetTemperature(Handle card, unsigned sensor, unsigned *celsius) {
    *celsius = card->number ? 44 : 71;
    return sensor ? NOT_SUPPORTED : tells();
}

int nvmlDeviceGetPowerUsage(Handle card, unsigned *milliwatts) {
    *milliwatts = card->number ? 20500 : 180500;
    return tells();
}

#ifdef OLD
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle card, unsigned long long *reasons) {
#else
int nvmlDeviceGetTemperatureThreshold(Handle card, unsigned kind, unsigned *celsius) {
    *celsius = kind == 1 ? 90 : 95;
    return tells();
}

int nvmlDeviceGetCurrentClocksEventReasons(Handle card, unsigned long long *reasons) {
#endif
    /* idle, power cap, heat twice */
    *reasons = card->number ? 0x1 : 0x4 | 0x20 | 0x40;
    return tells();
}
