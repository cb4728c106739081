import { useMemo } from "react";
import { type FormField, formFields, setField } from "../graph/declared";
import { type Json, splitReference } from "../graph/document";
import { t } from "../i18n";
import { run } from "../run/submit";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { widgetFor } from "./registry";

/** The workflow as a form: what it declares as inputs, and Run; nobody has to look at the graph. */
export function FormView() {
  const document = useEditor((state) => activeTab(state)?.history.present);
  const definitions = useEditor((state) => state.definitions);
  const isConnected = useRun((state) => state.connection === "connected");
  const fields = useMemo(
    () => (document === undefined ? [] : formFields(document, definitions, document)),
    [document, definitions],
  );
  if (document === undefined) return null;
  const { name, description } = document.meta ?? {};
  return (
    <form
      className="form-view"
      aria-label={name ?? t("app.untitled")}
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
      onKeyDown={(event) => {
        // Enter in a field commits it; Run is a button of its own
        if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
      }}
    >
      <div className="form-about">
        <h3>{name ?? t("app.untitled")}</h3>
        {description !== undefined && <p>{description}</p>}
      </div>
      {fields.length === 0 ? (
        <p className="form-empty">{t("widgets.noFields")}</p>
      ) : (
        fields.map((field) => <Field key={field.name} field={field} />)
      )}
      <div className="form-run">
        <button type="submit" className="primary" disabled={!isConnected || Object.keys(document.nodes).length === 0}>
          {t("run.run")}
        </button>
      </div>
    </form>
  );
}

function Field({ field }: { field: FormField }) {
  const { name, label, input, value, to } = field;
  const id = `form.${name}`;
  const Widget = widgetFor(input);
  const end = splitReference(to[0] ?? `${name}.${name}`);
  return (
    <div className="form-field">
      <label htmlFor={id}>{label}</label>
      {Widget === null ? (
        <p className="form-doc">{t("widgets.linkOnly", { type: input.type })}</p>
      ) : (
        <Widget
          id={id}
          node={end.node}
          nodeType=""
          // a seed's mode is kept by the input that it leads to
          input={input.widget?.kind === "seed" ? { ...input, name: end.name } : input}
          value={value}
          disabled={false}
          onChange={(next, gesture) => setDeclared(name, label, next, gesture ?? false)}
          onGestureEnd={() => useEditor.getState().endGesture()}
        />
      )}
      {input.doc !== undefined && input.doc !== "" && <p className="form-doc">{input.doc}</p>}
    </div>
  );
}

function setDeclared(name: string, label: string, value: Json, isGesture: boolean): void {
  useEditor
    .getState()
    .edit(
      t("widgets.setField", { name: label }),
      (_graph, document) => setField(document, name, value),
      isGesture ? `form.${name}` : undefined,
    );
}
