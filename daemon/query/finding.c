/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "finding.h"
#include "reading.h"

Finding *finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now) {
        Finding *finding = calloc(1, sizeof(*finding));
        if (!finding)
                return NULL;

        *finding = (Finding){
                .references = 1,
                .source = source,
                .key = *key,
                .fetch = *outcome,
                .arrived = now,
        };
        *outcome = (FetchOutcome){};
        *key = NULL;
        list_init(&finding->readings);
        return finding;
}

Finding *finding_ref(Finding *finding) {
        finding->references++;
        return finding;
}

Finding *finding_unref(Finding *finding) {
        if (!finding || --finding->references > 0)
                return NULL;
        assert(!finding->entry);
        LIST_FOREACH_SAFE(node, &finding->readings)
                reading_drop(LIST_ENTRY(node, Reading, node));
        fetch_outcome_deinit(&finding->fetch);
        free(finding->key);
        free(finding);
        return NULL;
}
