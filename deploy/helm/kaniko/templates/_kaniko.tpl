{{/* kaniko.flags: {given: {…}} as lines NAME=VALUE, in the order of the names */}}
{{- define "kaniko.flags" -}}
{{- range $name, $value := .given }}
{{- if kindIs "slice" $value }}
{{- range $value }}
{{ $name }}={{ . }}
{{- end }}
{{- else }}
{{ $name }}={{ $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* kaniko.args: the same as arguments */}}
{{- define "kaniko.args" -}}
{{- range splitList "\n" (include "kaniko.flags" . | trim) }}
{{- if . }}
- {{ printf "--%s" . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kaniko.labels" -}}
app.kubernetes.io/name: kaniko
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* kaniko.pod: what all pods have */}}
{{- define "kaniko.pod" -}}
restartPolicy: Never
serviceAccountName: {{ .Values.serviceAccount.name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "kaniko.image" -}}
image: {{ printf "%s/%s:%s" .root.Values.images.repository .name .root.Values.images.tag }}
{{- with .root.Values.images.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{- define "kaniko.security" -}}
{{- if eq . "restricted" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- else -}}
{{- if eq . "isolated" -}}
readOnlyRootFilesystem: true
{{ end -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- if eq . "isolated" }}
  add: [SETFCAP, SETGID, SETUID]
{{- else }}
  add: [CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETFCAP, SETGID, SETUID]
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- end }}
{{- end }}

{{- define "kaniko.registry.mount" -}}
{{- if .Values.registrySecret }}
- {name: registry, mountPath: /kaniko/.docker, readOnly: true}
{{- end }}
{{- end }}

{{- define "kaniko.registry.volume" -}}
{{- with .Values.registrySecret }}
- name: registry
  secret:
    secretName: {{ . }}
    items: [{key: .dockerconfigjson, path: config.json}]
{{- end }}
{{- end }}

{{- define "kaniko.claim" -}}
{{ .Values.warmer.claim | default (printf "%s-bases" .Release.Name) }}
{{- end }}

{{/* kaniko.build: the pod of a build. root, build, and indexed if its flags are in files */}}
{{- define "kaniko.build" -}}
{{- $root := .root }}
{{- $build := .build }}
{{- $profile := $build.profile | default "default" }}
{{- if not (has $profile (list "default" "isolated" "restricted")) }}
{{- fail (printf "profile %q: it is default, isolated or restricted" $profile) }}
{{- end }}
{{- $flags := merge (dict) ($build.flags | default dict) $root.Values.flags (dict "digest-file" "/dev/termination-log") }}
{{- if .indexed }}
{{- $flags = merge (dict "flags-file" "/kaniko/builds/$(JOB_COMPLETION_INDEX)") $flags }}
{{- end }}
{{- if ne $profile "default" }}
{{- $flags = merge (dict "kaniko-dir" "/layers") $flags }}
{{- end }}
{{- if eq $profile "isolated" }}
{{- $flags = merge (dict "isolation" "namespaces") $flags }}
{{- end }}
{{- if $build.warmed }}
{{- $flags = merge (dict "cache-dir" "/cache") $flags }}
{{- end }}
{{ include "kaniko.pod" $root }}
{{- if eq $profile "restricted" }}
securityContext: {fsGroup: 65532}
{{- end }}
containers:
- name: executor
  {{- include "kaniko.image" (dict "root" $root "name" "executor") | nindent 2 }}
  args:
  {{- include "kaniko.args" (dict "given" $flags) | nindent 2 }}
  {{- with $build.env }}
  env: {{ toJson . }}
  {{- end }}
  {{- with $build.envFrom }}
  envFrom: {{ toJson . }}
  {{- end }}
  resources: {{ toJson ($build.resources | default $root.Values.resources) }}
  securityContext:
    {{- include "kaniko.security" $profile | nindent 4 }}
  volumeMounts:
  {{- include "kaniko.registry.mount" $root | nindent 2 }}
  {{- if $build.context }}
  - {name: source, mountPath: /workspace, readOnly: {{ not (hasKey $build.context "emptyDir") }}}
  {{- end }}
  {{- if ne $profile "default" }}
  - {name: layers, mountPath: /layers}
  {{- end }}
  {{- if $build.warmed }}
  - {name: bases, mountPath: /cache, readOnly: true}
  {{- end }}
  {{- if .indexed }}
  - {name: builds, mountPath: /kaniko/builds, readOnly: true}
  {{- end }}
volumes:
{{- include "kaniko.registry.volume" $root }}
{{- with $build.context }}
- name: source
  {{- if .configMap }}
  configMap: {name: {{ .configMap }}}
  {{- else if .claim }}
  persistentVolumeClaim: {claimName: {{ .claim }}, readOnly: true}
  {{- else if hasKey . "emptyDir" }}
  emptyDir: {{ toJson .emptyDir }}
  {{- else }}
  {{- fail "context: it is {configMap: NAME}, {claim: NAME} or {emptyDir: {}}" }}
  {{- end }}
{{- end }}
{{- if ne $profile "default" }}
- {name: layers, emptyDir: {sizeLimit: 10Gi}}
{{- end }}
{{- if $build.warmed }}
- {name: bases, persistentVolumeClaim: {claimName: {{ include "kaniko.claim" $root }}, readOnly: true}}
{{- end }}
{{- if .indexed }}
- {name: builds, configMap: {name: {{ .indexed }}}}
{{- end }}
{{- end }}
