/* Reads Espalier's coded networks, .esp files of format 3, as docs/esp-format.md specifies them.
 *
 *     esp_file file;
 *     if (esp_open(&file, bytes, size, arena, arena_bytes, ESP_LIMIT, ESP_AS_STATE)) puts(file.error);
 *     for (size_t k = 0; k < file.count; k++) use(&file.tensors[k]);
 *
 * All memory is the arena; what `file` points to lives there. Nothing is global, so threads with arenas of their own do
 * not meet. The bytes may be damaged or made to harm: they decode to what was coded, or are refused in one line. Only
 * what is within the record is not looked at: in a file that is made to harm, it may be no JSON.
 */
#ifndef ESPALIER_DECODE_H
#define ESPALIER_DECODE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are taken from files as they lie there, which is little-endian"
#endif

enum { ESP_RANK = 8, ESP_ERROR = 256 };

/* Bytes of decoded tensors, and of a file, above which a file is refused: 2^30, as in espalier/coding/decoder.py. */
#define ESP_LIMIT ((uint64_t)1 << 30)

typedef enum {
    ESP_FLOAT32, ESP_FLOAT16, ESP_BFLOAT16, ESP_FLOAT64, ESP_INT8, ESP_UINT8, ESP_INT16, ESP_INT32, ESP_INT64, ESP_BOOL
} esp_type;

/* What is made of a quantized tensor: its values in fp32, as other floats of 16 bits are widened too; or three tensors,
 * NAME:levels (int32), NAME:scale and NAME:zero_point, with value = (level - zero point) * scale. */
typedef enum { ESP_AS_STATE, ESP_AS_LEVELS } esp_form;

typedef struct {
    const char *name;
    esp_type type;
    unsigned rank;
    uint32_t shape[ESP_RANK];
    uint64_t count;
    void *values;                           /* row-major */
} esp_tensor;

typedef struct {
    size_t count;
    const esp_tensor *tensors;              /* in the order in which they were written */
    const char *table, *record;             /* JSON; the record is a part of the table, which alone ends in a 0 */
    size_t table_length, record_length;
    char error[ESP_ERROR];
} esp_file;

/* Decode a file, whose bytes must stay until this returns. 0, or -1 and `file->error` says why not. */
int esp_open(esp_file *file, const void *bytes, size_t size, void *arena, size_t arena_bytes, uint64_t limit,
             esp_form form);

#endif
