/** A button for what cannot be undone: it asks first. */

import { Button, Dialog, DialogActions, DialogBody, DialogContent, DialogSurface, DialogTitle, DialogTrigger, type ButtonProps } from "@fluentui/react-components";
import type { ReactNode } from "react";

interface ConfirmButtonProps {
  children: ReactNode;
  /** What is asked, and what it means. */
  question: string;
  consequence: string;
  /** What the button that does it says. */
  action: string;
  label?: string;
  size?: ButtonProps["size"];
  appearance?: ButtonProps["appearance"];
  onConfirm(): void;
}

export function ConfirmButton({ children, question, consequence, action, label, size, appearance, onConfirm }: ConfirmButtonProps) {
  return (
    <Dialog>
      <DialogTrigger disableButtonEnhancement>
        <Button aria-label={label} size={size ?? "medium"} appearance={appearance ?? "secondary"}>
          {children}
        </Button>
      </DialogTrigger>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{question}</DialogTitle>
          <DialogContent>{consequence}</DialogContent>
          <DialogActions>
            <DialogTrigger disableButtonEnhancement>
              <Button>Cancel</Button>
            </DialogTrigger>
            <DialogTrigger disableButtonEnhancement>
              <Button appearance="primary" onClick={onConfirm}>
                {action}
              </Button>
            </DialogTrigger>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
