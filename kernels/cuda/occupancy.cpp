// How many blocks of a kernel fit on a multiprocessor, by NVIDIA's own arithmetic.
#include <cuda_occupancy.h>

#include <cstring>

struct Gpu {
  int major, minor, multiprocessors, threads, registers;
  unsigned long long shared, shared_most, shared_reserved;  // bytes: all, of a block, lost with one
};

extern "C" int fnn_blocks(const Gpu* gpu, int threads, int registers, unsigned long long shared_static,
                          unsigned long long shared_dynamic) {
  cudaOccDeviceProp device;
  memset(&device, 0, sizeof device);
  device.computeMajor = gpu->major;
  device.computeMinor = gpu->minor;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = gpu->threads;
  device.regsPerBlock = gpu->registers;
  device.regsPerMultiprocessor = gpu->registers;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = gpu->shared;
  device.numSms = gpu->multiprocessors;
  device.sharedMemPerBlockOptin = gpu->shared_most;
  device.reservedSharedMemPerBlock = gpu->shared_reserved;

  cudaOccFuncAttributes kernel;
  memset(&kernel, 0, sizeof kernel);
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.sharedSizeBytes = shared_static;
  kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = shared_dynamic;

  cudaOccDeviceState state;
  memset(&state, 0, sizeof state);
  state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
  cudaOccResult result;
  if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads,
                                              shared_dynamic))
    return -1;
  return result.activeBlocksPerMultiprocessor;
}
