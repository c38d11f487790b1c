/* SPDX-License-Identifier: MIT
 *
 * lab_figures.h - the tables that the plays of a case made, shown as one
 *
 * Columns are named once; plays whose figures are the same share a block. Numbers stand to the
 * right, texts to the left.
 */
#ifndef TCPWHY_REPORT_LAB_FIGURES_H
#define TCPWHY_REPORT_LAB_FIGURES_H

#include "report/lab.h"

/* Nothing, if no play made any. */
void lab_figures_print(const struct lab_case *c, int indent, FILE *out);

#endif
