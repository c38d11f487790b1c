/* SPDX-License-Identifier: MIT
 *
 * fix_yaml.h - tcpwhy fix yaml: sysctls of a pod, as Kubernetes or CNI want them
 */
#ifndef TCPWHY_CLI_FIX_YAML_H
#define TCPWHY_CLI_FIX_YAML_H

int fix_yaml(int argc, char **argv);

#endif
