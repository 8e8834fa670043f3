/* SPDX-License-Identifier: Apache-2.0 */

/* Markup to text: never larger than what it came from, always UTF-8. */

#include <stdint.h>
#include <stdlib.h>

#include "charset.h"
#include "html-text.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *html = (const char *) data;
        char label[CHARSET_LABEL_MAX];
        Buffer out = BUFFER_INIT(0), title = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out), title_writer = text_writer(&title);

        if (size == 0)
                return 0;
        charset_sniff(html, size, label);
        (void) html_begins(html, size);
        (void) html_is_fragment(html, size);
        html_write_text(html, size, &writer, &title_writer);
        if (out.size + title.size > size)
                abort();
        if (utf8_valid(html, size) &&
            ((out.size > 0 && !utf8_valid(out.data, out.size)) ||
             (title.size > 0 && !utf8_valid(title.data, title.size))))
                abort();
        buffer_deinit(&out);
        buffer_deinit(&title);
        return 0;
}
