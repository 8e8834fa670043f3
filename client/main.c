/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>

#include "verbs.h"

int main(int argc, char *argv[]) {
        (void) setlocale(LC_CTYPE, "");
        return musterctl_run(argc, argv);
}
