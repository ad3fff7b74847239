/* Classifies an image with a network that `onecycle export` has written, by the C API of ONNX
 * Runtime (https://onnxruntime.ai).
 *
 *     cc classify.c -I ORT/include -L ORT/lib -lonnxruntime -o classify
 *     ./classify model.onnx photo.ppm
 *
 * The image is a binary PPM (P6) or PGM (P5) file of the network's size; ImageMagick makes one with
 * `convert photo.jpg -filter triangle -resize 64x64^ -gravity center -extent 64x64 photo.ppm`.
 */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi *ort;

static void check(OrtStatus *status) {
    if (status == NULL) return;
    fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
    exit(1);
}

static void fail(const char *message) {
    fprintf(stderr, "%s\n", message);
    exit(1);
}

/* Reads the pixels of a PPM or PGM file, bytes [height, width, channels], and their shape. */
static unsigned char *read_image(const char *path, int64_t shape[4]) {
    FILE *file = fopen(path, "rb");
    int kind, width, height;
    if (file == NULL || fscanf(file, "P%d %d %d 255", &kind, &width, &height) != 3) {
        fail("expected a PPM or PGM file without comments");
    }
    fgetc(file);
    shape[0] = 1, shape[1] = height, shape[2] = width, shape[3] = kind == 6 ? 3 : 1;
    size_t length = (size_t)height * width * shape[3];
    unsigned char *pixels = malloc(length);
    if (pixels == NULL || fread(pixels, 1, length, file) != length) fail("the image is cut off");
    fclose(file);
    return pixels;
}

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: classify MODEL IMAGE");
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) fail("the library is older than its header");

    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "classify", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(env, argv[1], options, &session));

    /* Class names: a JSON list in the order of the outputs. */
    OrtAllocator *allocator;
    OrtModelMetadata *metadata;
    char *classes;
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
    check(ort->SessionGetModelMetadata(session, &metadata));
    check(ort->ModelMetadataLookupCustomMetadataMap(metadata, allocator, "classes", &classes));
    printf("classes: %s\n", classes);

    int64_t shape[4];
    unsigned char *pixels = read_image(argv[2], shape);
    OrtMemoryInfo *memory;
    OrtValue *images, *output = NULL;
    check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    check(ort->CreateTensorWithDataAsOrtValue(memory, pixels, shape[1] * shape[2] * shape[3], shape,
                                              4, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &images));
    const char *inputs[] = {"images"}, *outputs[] = {"probabilities"};
    check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&images, 1, outputs, 1, &output));

    OrtTensorTypeAndShapeInfo *info;
    size_t count;
    float *probabilities;
    check(ort->GetTensorTypeAndShape(output, &info));
    check(ort->GetTensorShapeElementCount(info, &count));
    check(ort->GetTensorMutableData(output, (void **)&probabilities));
    for (size_t i = 0; i < count; i++) printf("%zu: %.4f\n", i, probabilities[i]);

    ort->ReleaseTensorTypeAndShapeInfo(info);
    ort->ReleaseValue(output);
    ort->ReleaseValue(images);
    ort->ReleaseMemoryInfo(memory);
    check(ort->AllocatorFree(allocator, classes));
    ort->ReleaseModelMetadata(metadata);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    free(pixels);
    return 0;
}
